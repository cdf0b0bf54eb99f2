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

/** Writes the cases in `docs/security.md` from the attacks. `--check` writes nothing, and fails if they are not up to date. */

const FILE = new URL('../docs/security.md', import.meta.url);
const MADE = /(?<=\n<!-- The rest is made from test\/attacks .*-->\n).*/s;

/** Port of the attacker's service. */
const PORT = 4000;

/** Names instead of values that exist only while an attack runs. */
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
  const proved = AGENT_ATTACKS.filter(({ notProved }) => notProved === undefined).length;
  return `
${AGENT_ATTACKS.length + RACE_ATTACKS.length + STUCK_ATTACKS.length + GIT_ATTACKS.length + BY_WORDS.length + CLIENT_ATTACKS.length + EGRESS_ATTACKS.length} cases. Each is a test that fails if the attack does its harm.

### On the agent

The real Gemini CLI carries them out in the real server, in its sandbox. \`node test/attacks/prove-agent-attacks.ts\` tries ${proved} of
the ${AGENT_ATTACKS.length} on a Gemini CLI without sandbox and policy, with the real key and a trusted folder. It fails if one of them
does no harm there.

${table(['attack', 'during', 'what is done', 'without the defences'], AGENT_ATTACKS.map(agentRow))}

### By races against the server

A program in the sandbox swaps files, then folders, for links to secrets outside, while the server does what is named. The server is
root, and then another user. \`node test/attacks/prove-race-attacks.ts\` tries ${RACE_ATTACKS.filter(({ notProved }) => notProved === undefined).length} on a server whose own
programs are not confined, and fails if one of them reveals nothing there.

${table(['while the server does this', 'times', 'without the confinement'], RACE_ATTACKS.map(raceRow))}

### By trees on which git does not finish

They are in the workspace while the server reads the changes, commits, and until the run is canceled. The cancel ends the run, other
tickets work meanwhile, and no program of the server remains.

${table(
  ['attack', 'what is done'],
  STUCK_ATTACKS.map(({ name, command }) => [name, code(command.replace(/((?:aaaa\/){2})(?:aaaa\/)+/g, '$1…/'))]),
)}

### On the server's git

The agent may write the whole \`.git\`. \`node test/attacks/prove-git-attacks.ts\` tries all ${GIT_ATTACKS.length} on a plain clone, and fails
if one of them does no harm there.

${table(['attack', 'by'], GIT_ATTACKS.map(gitRow))}

### By words that go to GitHub

The words come from the model, the plan, its headings, a file name, the title of the ticket, or the goal of the plan. None may have its
effect in a commit or a pull request. \`node test/attacks/prove-word-attacks.ts\` publishes all ${BY_WORDS.length} by a server that passes
them on unchanged, and fails if one has no effect there.

${table(['attack', 'words', 'effect'], BY_WORDS.map(wordRow))}

### By clients

Over HTTP, on the real server. \`node test/attacks/prove-client-attacks.ts\` tries each on the same server without its one defence, by a
setting or by an edit of the named line. It fails if one of them does no harm there.

${table(['attack', 'what is done', 'the defence that was removed'], CLIENT_ATTACKS.map(clientRow))}

### From the sandbox to the network

Requests go to the proxy behind \`EGRESS_ALLOW\`, a process whose name server is the attacker's. The same command proves them.

${table(['attack', 'what is asked for', 'the defence that was removed'], EGRESS_ATTACKS.map(egressRow))}
`;
}

function agentRow({ name, during, by, settings, repository, calls, notProved }: AgentAttack): string[] {
  const done = [
    ...(by === undefined ? [] : [by]),
    ...(settings === undefined ? [] : [`settings ${code(JSON.stringify(settings(NAMES)))}`]),
    ...Object.entries(repository?.(NAMES) ?? {}).map(([file, text]) => `${code(file)} with ${code(text.trim())}`),
    ...(calls?.(NAMES) ?? []).map(({ name, args }) => code(String(args.command ?? name))),
  ];
  return [name, during, done.join(', '), notProved ?? 'does its harm'];
}

function raceRow({ name, times, notProved }: RaceAttack): string[] {
  return [name, String(times), notProved ?? 'gives a secret away'];
}

function gitRow({ name, upstream, plant }: GitAttack): string[] {
  return [name, [upstream && 'the repository', plant && 'the agent'].filter(Boolean).join(', ')];
}

function wordRow({ name, words, effect }: WordAttack): string[] {
  const visible = words.replace(/[^\n\x20-\x7e]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
  return [name, code(visible.replaceAll('\n', '\\n')), effect];
}

function clientRow({ name, by, without, notProved }: ClientAttack): string[] {
  return [name, by, notProved ?? defence(without ?? {})];
}

function egressRow({ name, requests, answers = {}, without }: EgressAttack): string[] {
  const told = Object.entries(answers).map(([host, times]) => `${host} is ${times.flat().join(', then ')}`);
  return [name, `${requests.map(code).join(', ')}; ${told.join('; ')}`, defence({ edits: without })];
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
if (!MADE.test(present)) throw new Error('docs/security.md has no line that marks the start of the cases.');
const wanted = present.replace(MADE, cases);
if (!process.argv.includes('--check')) {
  await writeFile(FILE, wanted);
} else if (present !== wanted) {
  console.error('docs/security.md is not up to date with test/attacks. Run: npm run docs');
  process.exitCode = 1;
}
