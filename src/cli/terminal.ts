import { clearLine, cursorTo } from 'node:readline';
import { styleText } from 'node:util';
import { printable } from './printable.ts';

type Format = Parameters<typeof styleText>[0];

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const FRAME_MS = 100;

export type Terminal = ReturnType<typeof createTerminal>;

/** What was asked for goes to stdout, all else to stderr; colors and movement are for terminals, and NO_COLOR is heard. */
export function createTerminal() {
  const { stdout, stderr } = process;
  let spinner: { text: string; since: number; timer: NodeJS.Timeout } | undefined;
  /** Whether stdout stands in a line that was begun. */
  let midLine = false;

  function draw(): void {
    if (spinner === undefined) return;
    const ms = Date.now() - spinner.since;
    const frame = FRAMES[Math.floor(ms / FRAME_MS) % FRAMES.length];
    cursorTo(stderr, 0);
    clearLine(stderr, 0);
    stderr.write(`${frame} ${spinner.text} ${Math.floor(ms / 1000)} s`);
  }

  function stopSpinner(): void {
    if (spinner === undefined) return;
    clearInterval(spinner.timer);
    spinner = undefined;
    cursorTo(stderr, 0);
    clearLine(stderr, 0);
  }

  const terminal = {
    /** Data, as it is when a program reads it, and harmless when a terminal does. */
    write(text: string): void {
      stopSpinner();
      stdout.write(stdout.isTTY ? printable(text) : text);
      if (text !== '') midLine = !text.endsWith('\n');
    },

    print(text: string): void {
      terminal.write(`${text}\n`);
    },

    json(value: unknown): void {
      terminal.print(JSON.stringify(value));
    },

    /** A line of data on a terminal with color; the text is made harmless first. */
    colored(format: Format, text: string): void {
      stopSpinner();
      stdout.write(`${stdout.isTTY ? styleText(format, printable(text), { stream: stdout }) : text}\n`);
    },

    /** Talk: a line for the person at the terminal. */
    info(text: string, format?: Format): void {
      stopSpinner();
      if (midLine && stdout.isTTY) stdout.write('\n');
      midLine = false;
      const shown = printable(text);
      stderr.write(`${format === undefined ? shown : styleText(format, shown, { stream: stderr })}\n`);
    },

    /** Shows that something is being waited for; on a terminal only. Ends with the next output, or `stopSpinner`. */
    progress(text: string): void {
      if (!stderr.isTTY || midLine) return;
      if (spinner === undefined) {
        spinner = { text: '', since: Date.now(), timer: setInterval(draw, FRAME_MS).unref() };
      }
      spinner.text = printable(text);
    },

    stopSpinner,

    /** Ends the line that was begun, if one was. */
    endLine(): void {
      if (midLine) stdout.write('\n');
      midLine = false;
    },

    isInteractive: stdout.isTTY === true && process.stdin.isTTY === true,

    /** Whether somebody sees what is being waited for. */
    showsProgress: stderr.isTTY === true,
  };
  return terminal;
}
