#!/bin/sh
# deploy/environments.sh NAME...: makes these environments below STATE_DIR while an image is built, each with
# EXTRA_PACKAGES. It ignores a name without a file in requirements/environments/, such as that of a profile of docker
# compose.
set -eu
unset ENVIRONMENTS # the build argument; the setting of this name is another thing
for name; do
  requirements=requirements/environments/$name.txt
  if ! [ -f "$requirements" ]; then
    echo "$name: no environment, because there is no $requirements"
    continue
  fi
  case $name in
    sklearn-*) python3.11 -m launcher.environments make --plain "$name" ;;
    *) python3.11 -m launcher.environments make --plain "$name" --requirements "$requirements" ;;
  esac
  python=$STATE_DIR/environments/$name/bin/python
  find -H "$STATE_DIR/environments/$name" -name tests -type d -prune -exec rm -r {} +
  if [ -n "${EXTRA_PACKAGES:-}" ]; then
    python3.11 -m pip --python "$python" freeze >/constraints.txt # they leave the versions that are there
    # shellcheck disable=SC2086 # several packages
    python3.11 -m pip --python "$python" install --no-compile --constraint /constraints.txt $EXTRA_PACKAGES
  fi
done
