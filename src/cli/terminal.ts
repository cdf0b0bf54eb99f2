import { clearLine, cursorTo } from 'node:readline';
import { styleText } from 'node:util';
import { printable } from './printable.ts';

type Format = Parameters<typeof styleText>[0];

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const FRAME_INTERVAL_MS = 100;

export type Terminal = ReturnType<typeof createTerminal>;

/** Creates the output of a command: results on stdout, the rest on stderr. Only terminals get colors and a spinner. */
export function createTerminal() {
  const { stdout, stderr } = process;
  let spinner: { text: string; since: number; timer: NodeJS.Timeout } | undefined;
  /** Whether the cursor of stdout is within a line. */
  let midLine = false;

  function draw(): void {
    if (spinner === undefined) return;
    const ms = Date.now() - spinner.since;
    const frame = FRAMES[Math.floor(ms / FRAME_INTERVAL_MS) % FRAMES.length];
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
    /** Writes data to stdout; on a terminal, made safe. */
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

    /** Prints a line of data, on a terminal in color. */
    colored(format: Format, text: string): void {
      stopSpinner();
      stdout.write(`${stdout.isTTY ? styleText(format, printable(text), { stream: stdout }) : text}\n`);
    },

    /** Prints a line for a person to stderr. */
    info(text: string, format?: Format): void {
      stopSpinner();
      if (midLine && stdout.isTTY) stdout.write('\n');
      midLine = false;
      const shown = printable(text);
      stderr.write(`${format === undefined ? shown : styleText(format, shown, { stream: stderr })}\n`);
    },

    /** Shows a spinner, on a terminal only, until the next output or `stopSpinner`. */
    progress(text: string): void {
      if (!stderr.isTTY || midLine) return;
      if (spinner === undefined) {
        spinner = { text: '', since: Date.now(), timer: setInterval(draw, FRAME_INTERVAL_MS).unref() };
      }
      spinner.text = printable(text);
    },

    stopSpinner,

    /** Completes an unfinished line. */
    endLine(): void {
      if (midLine) stdout.write('\n');
      midLine = false;
    },

    isInteractive: stdout.isTTY === true && process.stdin.isTTY === true,

    /** Whether the spinner is visible. */
    showsProgress: stderr.isTTY === true,
  };
  return terminal;
}
