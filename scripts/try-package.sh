#!/usr/bin/env bash
# Installs the package that npm would publish into an empty project, runs its demo and type-checks its client.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
export PATH="$root/node_modules/.bin:$PATH"
project="$(mktemp -d)"
trap 'rm -rf "$project"' EXIT
cd "$root"
npm pack --silent --pack-destination "$project" >/dev/null
cd "$project"
echo '{ "name": "empty", "private": true, "type": "module" }' >package.json
npm install --silent --no-audit --no-fund ./pullwright-*.tgz
npx pullwright --version
npx pullwright demo
cat >ticket.ts <<'TS'
import { createClient, unwrap } from 'pullwright/client';
const client = createClient({ baseUrl: 'http://127.0.0.1:8000' });
const { items } = await unwrap(client.GET('/v1/tickets', { params: { query: { limit: 1 } } }));
const first: string | undefined = items[0]?.ticket_id;
for await (const event of client.runs.stream('x')) if (event.type === 'plan.saved') event.data.version satisfies number;
// @ts-expect-error: a ticket has no such field
console.log(first, items[0]?.nothing);
TS
"$root/node_modules/.bin/tsc" --noEmit --strict --module nodenext --target es2024 --lib es2024,dom --types '' ticket.ts
