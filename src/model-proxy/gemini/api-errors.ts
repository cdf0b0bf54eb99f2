import { AppError } from '../../errors/app-error.ts';
import { isRecord } from '../../json/is-record.ts';
import type { ModelTrouble } from '../model-api.ts';

export const AUTH =
  /API key (?:not valid|expired|is missing)|API_KEY_INVALID|Authentication required|unregistered callers|IneligibleTier/i;
const MAX_WORDS = 300;
/** Statuses that pass; https://ai.google.dev/gemini-api/docs/troubleshooting */
const PASSING: ReadonlySet<number> = new Set([408, 429, 499, 500, 502, 503, 504]);

/** What an error of the Gemini API means: https://cloud.google.com/apis/design/errors */
export function geminiTrouble(status: number, body: string): ModelTrouble {
  const { message, details } = readError(body);
  const said = message.replace(/\s+/g, ' ').trim().slice(0, MAX_WORDS) || 'it gave no reason';
  const words = /[.!?]$/.test(said) ? said : `${said}.`;
  const of = (type: string) => details.find((detail) => String(detail['@type']).endsWith(`google.rpc.${type}`));
  const end = (error: AppError): ModelTrouble => ({ next: 'end', error, words: '' });

  if (status === 401 || status === 403 || (status === 400 && AUTH.test(`${message} ${of('ErrorInfo')?.reason}`))) {
    return end(new AppError('agent_auth', `The model refused the key (${status}): ${words}`));
  }
  if (status === 429) {
    if (isUsedUp(of('QuotaFailure')) || /limit:\s*0(?![.\d])/.test(message)) {
      return end(new AppError('model_quota_exhausted', `The quota of the model is used up (429): ${words}`));
    }
    const waitSeconds = seconds(of('RetryInfo')?.retryDelay) ?? secondsToWait(message);
    const error = new AppError('model_rate_limited', `The model limits the rate (429): ${words}`, {
      ...(waitSeconds === undefined ? {} : { retryAfter: waitSeconds }),
    });
    return { next: 'retry', error, words: `The model limits the rate (429): ${words}`, waitSeconds };
  }
  const error = new AppError('model_failed', `The model answered ${status}: ${words}`);
  const waitSeconds = seconds(of('RetryInfo')?.retryDelay);
  return {
    next: PASSING.has(status) ? 'retry' : 'tell',
    error,
    words: `The model failed (${status}): ${words}`,
    waitSeconds,
  };
}

/** Whether it is the quota of a day, which no waiting within a run brings back; those of a minute pass. */
function isUsedUp(failure: Record<string, unknown> | undefined): boolean {
  const violations = Array.isArray(failure?.violations) ? failure.violations.filter(isRecord) : [];
  return violations.some(({ quotaId }) => /PerDay|Daily/.test(String(quotaId)));
}

/** A duration of protobuf's JSON, such as `12.5s`. */
function seconds(duration: unknown): number | undefined {
  const found = typeof duration === 'string' ? /^(\d+(?:\.\d+)?)s$/.exec(duration)?.[1] : undefined;
  return found === undefined ? undefined : Math.ceil(Number(found));
}

function readError(body: string): { message: string; details: Record<string, unknown>[] } {
  try {
    // A stream without events answers with a list.
    const [parsed]: unknown[] = [JSON.parse(body)].flat();
    const error = isRecord(parsed) ? parsed.error : undefined;
    if (!isRecord(error)) return { message: '', details: [] };
    const details = Array.isArray(error.details) ? error.details.filter(isRecord) : [];
    return { message: typeof error.message === 'string' ? error.message : '', details };
  } catch {
    // A relay may answer in any form.
    return { message: '', details: [] };
  }
}

/** Google says it in words: "Please retry in 12.3s", "Suggested retry after 60s". */
export function secondsToWait(message: string): number | undefined {
  const seconds = /retry (?:in|after) ([\d.]+)s/.exec(message)?.[1];
  return seconds === undefined ? undefined : Math.ceil(Number(seconds));
}
