#!/bin/sh
# git runs this instead of asking a person (GIT_ASKPASS). It answers for one origin only: a URL rewrite, a proxy or a
# redirect that leads elsewhere gets nothing. The token is in the environment of this one git command.
host=${PULLWRIGHT_GIT_ORIGIN#*://}
scheme=${PULLWRIGHT_GIT_ORIGIN%%://*}
case $1 in
"Username for '$PULLWRIGHT_GIT_ORIGIN': ") printf '%s\n' x-access-token ;;
"Password for '$scheme://x-access-token@$host': ") printf '%s\n' "$PULLWRIGHT_GIT_TOKEN" ;;
*) exit 1 ;;
esac
