import type { Command } from 'commander';
import { type Connection, connect } from './connect.ts';
import { line } from './printable.ts';
import { createTerminal, type Terminal } from './terminal.ts';

/** Context of a command that uses a server. */
export type Context = { terminal: Terminal; connection: Connection; json: boolean };

/** Runs an action with a connection to a server, and closes the connection. */
export async function withServer(
  { json = false }: { json?: boolean },
  action: (context: Context) => Promise<void>,
): Promise<void> {
  const terminal = createTerminal();
  const connection = await connect(terminal);
  try {
    await action({ terminal, connection, json });
  } finally {
    terminal.stopSpinner();
    await connection.close();
  }
}

/** Prints a list, one item per line: as JSON, or as columns between tabs. */
export async function printList<Item>(
  { terminal, json }: Context,
  items: AsyncIterable<Item>,
  columns: (item: Item) => string[],
): Promise<void> {
  for await (const item of items) {
    if (json) terminal.json(item);
    else terminal.print(columns(item).map(line).join('\t'));
  }
}

/** Prints the result of a change: as JSON on stdout, or as a sentence for a person. */
export function report({ terminal, json }: Context, result: unknown, sentence: string): void {
  if (json) terminal.json(result);
  else terminal.info(sentence);
}

/** Adds a command with the option `--json`. */
export function command(parent: Command, nameAndArguments: string, summary: string): Command {
  return parent
    .command(nameAndArguments)
    .summary(summary)
    .description(summary)
    .option('--json', 'print one JSON object, or one per line');
}

/** Removes fields that are undefined. */
export function given<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const present: { [K in keyof T]?: Exclude<T[K], undefined> } = {};
  for (const name in fields) {
    const value = fields[name];
    if (isPresent(value)) present[name] = value;
  }
  return present;
}

function isPresent<T>(value: T): value is Exclude<T, undefined> {
  return value !== undefined;
}

type Page<Item> = (query: { limit: number; cursor?: string }) => Promise<{ items: Item[]; next_cursor: string | null }>;

/** Yields up to `limit` items of a list in pages. */
export async function* paginate<Item>(limit: number, page: Page<Item>): AsyncGenerator<Item> {
  let left = limit;
  let cursor: string | null | undefined;
  while (left > 0 && cursor !== null) {
    const { items, next_cursor } = await page({
      limit: Math.min(left, 100),
      ...(cursor === undefined ? {} : { cursor }),
    });
    yield* items;
    left -= items.length;
    cursor = next_cursor;
  }
}
