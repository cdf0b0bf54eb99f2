#!/usr/bin/env bash
# Installs the packed packages into empty projects. The demo runs from the package of the server; a program uses the
# package of the client, which must bring its types and nothing but its two dependencies.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
export PATH="$root/node_modules/.bin:$PATH"
projects="$(mktemp -d)"
trap 'kill "${SERVER_PID:-}" 2>/dev/null || true; rm -rf "$projects"' EXIT
cd "$root"
npm pack --silent --pack-destination "$projects" . ./client >/dev/null

install() {
  mkdir "$projects/$1" && cd "$projects/$1"
  echo '{ "name": "empty", "private": true, "type": "module" }' >package.json
  npm install --silent --no-audit --no-fund "$2"
}

install server "$projects"/pullwright-[0-9]*.tgz
npx pullwright --version
npx pullwright demo
coproc SERVER {
  DATA_DIR="$projects/data" TICKETS_ROOT="$projects/tickets" PORT=0 SANDBOX=none AGENT_POOL_SPARE=0 \
    exec node_modules/.bin/pullwright serve
}
until [[ "${line:-}" =~ listening\ at\ (http:[^\"]+) ]]; do read -r line <&"${SERVER[0]}"; done
url="${BASH_REMATCH[1]}"

install program "$projects"/pullwright-client-*.tgz
packages="$(npm ls --all --parseable | tail -n +2)"
[ "$(wc -l <<<"$packages")" -le 4 ] || { echo "The client brings too many packages: $packages" >&2; exit 1; }
cat >program.ts <<'TS'
import { createClient, type RunEvent, unwrap } from '@pullwright/client';
const client = createClient({ baseUrl: 'URL' });
const { items } = await unwrap(client.GET('/v1/tickets', { params: { query: { limit: 1 } } }));
const first: string | undefined = items[0]?.ticket_id;
const { error } = await client.GET('/v1/tickets/{ticket_id}', { params: { path: { ticket_id: 'NONE-1' } } });
if (error === undefined) throw new Error('the ticket exists');
const detail: string = error.detail;
console.log(first, detail.toUpperCase());
export function show(event: RunEvent): void {
  if (event.type === 'plan.saved') event.data.version satisfies number;
  if (event.type === 'run.failed') event.data.error.detail satisfies string;
}
// @ts-expect-error: a ticket has no such field
items[0]?.nothing;
TS
sed -i.template "s#URL#$url#" program.ts
"$root/node_modules/.bin/tsc" --noEmit --strict --module nodenext --target es2024 --lib es2024,dom --types '' program.ts
node program.ts
