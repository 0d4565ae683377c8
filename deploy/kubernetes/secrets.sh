#!/bin/sh
# secrets.sh FOLDER: prints the Secret `modelgate`: a password for each Redis user, and the keys of the services. Each is a
# file in FOLDER and is made once: keep the folder where you keep secrets. FOLDER/users.acl has the users for a Redis of
# your own, and FOLDER/redis/operator/password the password of its operator.
set -eu
umask 077
folder=$1
users="gateway worker trainer observer events mirror"
mkdir -p "$folder"
sh "$(dirname "$0")/../../broker/acl/users" "$folder/redis" >"$folder/users.acl"
[ -s "$folder/admin" ] || openssl rand -hex 32 >"$folder/admin"
[ -s "$folder/trainer" ] || openssl rand -hex 32 >"$folder/trainer"
[ -s "$folder/webhook" ] || echo "whsec_$(openssl rand -base64 32)" >"$folder/webhook"
set --
for user in $users; do set -- "$@" --from-file="redis-$user=$folder/redis/$user/password"; done
for key in admin trainer webhook; do set -- "$@" --from-file="$key=$folder/$key"; done
kubectl create secret generic modelgate --dry-run=client --output yaml "$@"
