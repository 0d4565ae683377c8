#!/bin/sh
# rollout.sh FOLDER: applies the overlay in FOLDER, one service after the other, as `modelgate upgrade` does. Redis comes
# first, because its users must be allowed the keys of a new release, then readers before writers. It stops at the first
# service that does not become ready, and those after it still run the old release.
set -eu
all=$(mktemp)
trap 'rm -f "$all"' EXIT
kubectl kustomize "$1" >"$all"
name=app.kubernetes.io/name
namespace=$(sed -n 's/^  namespace: //p' "$all" | head -n 1)
kubectl apply --filename "$all" --selector "!$name" # what starts no pod: settings, claims, policies
workers=$(sed -n "s|^    $name: \(worker.*\)|\1|p" "$all" | sort -u) # those of rare models and of environments, too
for service in redis observer $workers gateway trainer events; do
  grep -q "^    $name: $service\$" "$all" || continue
  applied=$(kubectl apply --filename "$all" --selector "$name=$service" --output name)
  for workload in $(echo "$applied" | grep -E '^(deployment|statefulset)'); do
    kubectl rollout status --namespace "$namespace" --timeout 40m "$workload"
  done
done
