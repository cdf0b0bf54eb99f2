import type { SandboxedProcess } from '../types.ts';

export type RunLimits = { timeoutMs: number; maxOutputBytes: number; signal?: AbortSignal };
export type RunResult = {
  /** Exit code; null when it was killed. */
  code: number | null;
  /** What it wrote to stdout and stderr, in the order it came; of too much, the end. */
  output: string;
  timedOut: boolean;
  /** Whether the kernel killed a process because the sandbox had no memory left; `output` ends with a sentence about it. */
  outOfMemory: boolean;
};

/**
 * Sees a process through to its end, and leaves nothing of it behind.
 * @throws the reason of the signal when that is aborted
 */
export async function runProcess(process: SandboxedProcess, limits: RunLimits): Promise<RunResult> {
  const tail = keepTail(limits.maxOutputBytes);
  process.stdout.on('data', tail.push);
  process.stderr.on('data', tail.push);
  process.stdin.end();

  const timeout = AbortSignal.timeout(limits.timeoutMs);
  const stop = AbortSignal.any([timeout, ...(limits.signal ? [limits.signal] : [])]);
  const end = () => void process.kill();
  stop.addEventListener('abort', end);
  if (stop.aborted) end();
  const { code, outOfMemory } = await process.exited;
  stop.removeEventListener('abort', end);
  await process.kill();
  limits.signal?.throwIfAborted();
  const output = tail.text() + (outOfMemory ? `\n${outOfMemoryText(outOfMemory.limitMib)}\n` : '');
  return { code, output, timedOut: timeout.aborted, outOfMemory: outOfMemory !== undefined };
}

/** One sentence about a sandbox that exceeded its limit of memory. */
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
