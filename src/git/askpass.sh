#!/bin/sh
# The GIT_ASKPASS of a git command. It answers for one origin only: a URL rewrite, a proxy or a redirect to another origin
# gets no token. The token is in the environment of this git command only.
host=${PULLWRIGHT_GIT_ORIGIN#*://}
scheme=${PULLWRIGHT_GIT_ORIGIN%%://*}
case $1 in
"Username for '$PULLWRIGHT_GIT_ORIGIN': ") printf '%s\n' x-access-token ;;
"Password for '$scheme://x-access-token@$host': ") printf '%s\n' "$PULLWRIGHT_GIT_TOKEN" ;;
*) exit 1 ;;
esac
