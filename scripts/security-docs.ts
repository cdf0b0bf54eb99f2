import { readFile, writeFile } from 'node:fs/promises';
import { AGENT_ATTACKS, type AgentArena, type AgentAttack } from '../test/attacks/agent-attacks.ts';
import type { ClientAttack } from '../test/attacks/client-attack.ts';
import { CLIENT_ATTACKS } from '../test/attacks/client-attacks.ts';
import type { Conditions } from '../test/attacks/conditions.ts';
import { EGRESS_ATTACKS, type EgressAttack } from '../test/attacks/egress-attacks.ts';
import { GIT_ATTACKS, type GitAttack } from '../test/attacks/git-attacks.ts';
import { RACE_ATTACKS, type RaceAttack } from '../test/attacks/race-attacks.ts';
import { STUCK_ATTACKS } from '../test/attacks/stuck-attacks.ts';
import { LINE_ATTACKS, WORD_ATTACKS, type WordAttack } from '../test/attacks/word-attacks.ts';

/** Generates the cases in `docs/security.md` from the attacks. With `--check`, fails when they are outdated and writes nothing. */

const FILE = new URL('../docs/security.md', import.meta.url);
const GENERATED = /(?<=\n<!-- The rest is made from test\/attacks .*-->\n).*/s;

/** Port of the attacker's server. */
const PORT = 4000;

/** Placeholders for values that exist only while an attack runs. */
const NAMES: AgentArena = {
  host: 'http://HOST',
  home: 'HOME',
  data: 'DATA_DIR',
  envFile: '.env',
  other: 'OTHER_TICKET',
  outside: 'OUTSIDE',
  decoy: 1234,
  mark: 'MARK',
};

const BY_WORDS = [...WORD_ATTACKS, ...LINE_ATTACKS];

function cases(): string {
  const proved = AGENT_ATTACKS.filter(({ skipProof }) => skipProof === undefined).length;
  return `
${AGENT_ATTACKS.length + RACE_ATTACKS.length + STUCK_ATTACKS.length + GIT_ATTACKS.length + BY_WORDS.length + CLIENT_ATTACKS.length + EGRESS_ATTACKS.length} cases. Each is a test, which fails when the attack succeeds.

### On the agent

The real Gemini CLI attacks from the sandbox of the real server. \`node test/attacks/prove-agent-attacks.ts\` runs ${proved} of the
${AGENT_ATTACKS.length} on a Gemini CLI without sandbox and policy, with the real key and a trusted folder. It fails when one of them does
not succeed there.

${table(['attack', 'during', 'actions', 'without the defences'], AGENT_ATTACKS.map(agentRow))}

### By races against the server

A program in the sandbox replaces files, then folders, by links to secrets outside while the server works. The server runs as root and
as an unprivileged user. \`node test/attacks/prove-race-attacks.ts\` runs ${RACE_ATTACKS.filter(({ skipProof }) => skipProof === undefined).length} on a server whose own
programs are not confined, and fails when one of them does not succeed there.

${table(['while the server does this', 'times', 'without the confinement'], RACE_ATTACKS.map(raceRow))}

### By trees that git cannot finish

In the workspace, while the server reads the changes, at the commit, and until the run is canceled. The cancellation stops the run, other
tickets work meanwhile, and no program of the server keeps running.

${table(
  ['attack', 'actions'],
  STUCK_ATTACKS.map(({ name, command }) => [name, code(command.replace(/((?:aaaa\/){2})(?:aaaa\/)+/g, '$1…/'))]),
)}

### On the server's git

The agent controls the whole \`.git\`. \`node test/attacks/prove-git-attacks.ts\` runs all ${GIT_ATTACKS.length} on a plain clone, and fails
when one of them does not succeed there.

${table(['attack', 'by'], GIT_ATTACKS.map(gitRow))}

### By text that goes to GitHub

Each text is the model's answer, the plan, its headings, a file name, and the title of the ticket or the goal of the plan.
None may take effect in a commit or a pull request. \`node test/attacks/prove-word-attacks.ts\` publishes all ${BY_WORDS.length} by a
server that forwards them unchanged, and fails when one has no effect there.

${table(['attack', 'text', 'effect'], BY_WORDS.map(wordRow))}

### By clients

Over HTTP, on the real server. \`node test/attacks/prove-client-attacks.ts\` runs each on the same server without the one defence
against it, which a setting or an edit of the named line disables. It fails when one of them does not succeed there.

${table(['attack', 'actions', 'disabled defence'], CLIENT_ATTACKS.map(clientRow))}

### From the sandbox to the network

By requests to the egress proxy of \`EGRESS_ALLOW\`, with a name server of the attacker. The same command proves them.

${table(['attack', 'requests', 'disabled defence'], EGRESS_ATTACKS.map(egressRow))}
`;
}

function agentRow({ name, during, by, settings, repository, calls, skipProof }: AgentAttack): string[] {
  const done = [
    ...(by === undefined ? [] : [by]),
    ...(settings === undefined ? [] : [`settings ${code(JSON.stringify(settings(NAMES)))}`]),
    ...Object.entries(repository?.(NAMES) ?? {}).map(([file, text]) => `${code(file)} with ${code(text.trim())}`),
    ...(calls?.(NAMES) ?? []).map(({ name, args }) => code(String(args.command ?? name))),
  ];
  return [name, during, done.join(', '), skipProof ? `not tried: ${skipProof}` : 'succeeds'];
}

function raceRow({ name, times, skipProof }: RaceAttack): string[] {
  return [name, String(times), skipProof ? `not tried: ${skipProof}` : 'leaks a secret'];
}

function gitRow({ name, upstream, plant }: GitAttack): string[] {
  return [name, [upstream && 'the repository', plant && 'the agent'].filter(Boolean).join(', ')];
}

function wordRow({ name, words, effect }: WordAttack): string[] {
  const visible = words.replace(/[^\n\x20-\x7e]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
  return [name, code(visible.replaceAll('\n', '\\n')), effect];
}

function clientRow({ name, by, without, skipProof }: ClientAttack): string[] {
  return [name, by, skipProof ? `not tried: ${skipProof}` : defence(without ?? {})];
}

function egressRow({ name, requests, answers = {}, without }: EgressAttack): string[] {
  const addresses = Object.entries(answers).map(([host, times]) => `${host} is ${times.flat().join(', then ')}`);
  return [name, `${requests.map(code).join(', ')}; ${addresses.join('; ')}`, defence({ edits: without })];
}

function defence({ settings, nodeArgs = [], edits = [] }: Conditions): string {
  const changed = Object.entries(settings?.(PORT) ?? {}).map(([setting, value]) => code(`${setting}=${value}`));
  const lines = edits.map(({ file, from }) => `${code(from.trim().replace(/\s+/g, ' '))} in ${code(file)}`);
  return [...changed, ...nodeArgs.map(code), ...lines].join(', ');
}

function code(text: string): string {
  const fence = text.includes('`') ? '``' : '`';
  return `${fence}${text}${fence}`;
}

function table(head: string[], rows: string[][]): string {
  const lines = [head, head.map(() => '---'), ...rows];
  return lines
    .map((cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`)
    .join('\n');
}

const present = await readFile(FILE, 'utf8');
if (!GENERATED.test(present)) throw new Error('docs/security.md has no marker for the cases.');
const wanted = present.replace(GENERATED, cases);
if (!process.argv.includes('--check')) {
  await writeFile(FILE, wanted);
} else if (present !== wanted) {
  console.error('docs/security.md is outdated. Run: npm run docs');
  process.exitCode = 1;
}
