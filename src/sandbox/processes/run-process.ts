import type { SandboxedProcess } from '../types.ts';

export type RunLimits = { timeoutMs: number; maxOutputBytes: number; signal?: AbortSignal };
export type RunResult = {
  /** Exit code; null when it was killed. */
  code: number | null;
  /** Stdout and stderr in the order of arrival, cut at the beginning above the limit. */
  output: string;
  timedOut: boolean;
  /** Whether the sandbox exceeded its memory limit; `output` then ends with a sentence about it. */
  outOfMemory: boolean;
};

/**
 * Waits for a process to exit, within limits, and kills its descendants.
 * @throws the reason of the signal when it is aborted
 */
export async function runProcess(process: SandboxedProcess, limits: RunLimits): Promise<RunResult> {
  const tail = keepTail(limits.maxOutputBytes);
  process.stdout.on('data', tail.push);
  process.stderr.on('data', tail.push);
  process.stdin.end();

  const timeout = AbortSignal.timeout(limits.timeoutMs);
  const stop = AbortSignal.any([timeout, ...(limits.signal ? [limits.signal] : [])]);
  const kill = () => void process.kill();
  stop.addEventListener('abort', kill);
  if (stop.aborted) kill();
  const { code, outOfMemory } = await process.exited;
  stop.removeEventListener('abort', kill);
  await process.kill();
  limits.signal?.throwIfAborted();
  const output = tail.text() + (outOfMemory ? `\n${outOfMemoryText(outOfMemory.limitMib)}\n` : '');
  return { code, output, timedOut: timeout.aborted, outOfMemory: outOfMemory !== undefined };
}

/** Describes, in a sentence, that a sandbox exceeded its memory limit. */
export function outOfMemoryText(limitMib: number): string {
  return `The sandbox ran out of memory: all its processes together may use ${limitMib} MiB (SANDBOX_MEMORY_MB).`;
}

function keepTail(maxBytes: number) {
  const chunks: Buffer[] = [];
  let kept = 0;
  let cut = 0;
  return {
    push(chunk: Buffer) {
      chunks.push(chunk);
      kept += chunk.length;
      for (let first = chunks[0]; first !== undefined && kept > maxBytes; first = chunks[0]) {
        const surplus = Math.min(first.length, kept - maxBytes);
        kept -= surplus;
        cut += surplus;
        if (surplus === first.length) chunks.shift();
        else chunks[0] = first.subarray(surplus);
      }
    },
    text() {
      const text = Buffer.concat(chunks).toString();
      return cut === 0 ? text : `[${cut} bytes cut]\n${text}`;
    },
  };
}
