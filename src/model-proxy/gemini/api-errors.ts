import { AppError } from '../../errors/app-error.ts';
import { isRecord } from '../../json/is-record.ts';
import type { ModelFailure } from '../model-api.ts';

export const AUTH =
  /API key (?:not valid|expired|is missing)|API_KEY_INVALID|Authentication required|unregistered callers|IneligibleTier/i;
const MAX_MESSAGE_CHARS = 300;
/** https://ai.google.dev/gemini-api/docs/troubleshooting */
const TRANSIENT: ReadonlySet<number> = new Set([408, 429, 499, 500, 502, 503, 504]);

/** Classifies an error response of the Gemini API: https://cloud.google.com/apis/design/errors */
export function classifyGeminiFailure(status: number, body: string): ModelFailure {
  const { message, details } = readError(body);
  const line = message.replace(/\s+/g, ' ').trim().slice(0, MAX_MESSAGE_CHARS) || 'no reason given';
  const reason = /[.!?]$/.test(line) ? line : `${line}.`;
  const detail = (type: string) => details.find((one) => String(one['@type']).endsWith(`google.rpc.${type}`));
  const fail = (error: AppError): ModelFailure => ({ next: 'fail', error, summary: '' });

  if (status === 401 || status === 403 || (status === 400 && AUTH.test(`${message} ${detail('ErrorInfo')?.reason}`))) {
    return fail(new AppError('agent_auth', `The model refused the key (${status}): ${reason}`));
  }
  if (status === 429) {
    if (isDailyQuota(detail('QuotaFailure')) || /limit:\s*0(?![.\d])/.test(message)) {
      return fail(new AppError('model_quota_exhausted', `The quota of the model is exhausted (429): ${reason}`));
    }
    const waitSeconds = seconds(detail('RetryInfo')?.retryDelay) ?? secondsToWait(message);
    const summary = `The model limits the rate (429): ${reason}`;
    const error = new AppError('model_rate_limited', summary, {
      retryAfter: waitSeconds,
    });
    return { next: 'retry', error, summary, waitSeconds };
  }
  const summary = `The model failed (${status}): ${reason}`;
  const waitSeconds = seconds(detail('RetryInfo')?.retryDelay);
  const next = TRANSIENT.has(status) ? 'retry' : 'forward';
  return { next, error: new AppError('model_failed', summary), summary, waitSeconds };
}

/** Returns whether the quota of a day is exhausted. The quota of a minute recovers within a run. */
function isDailyQuota(failure: Record<string, unknown> | undefined): boolean {
  const violations = Array.isArray(failure?.violations) ? failure.violations.filter(isRecord) : [];
  return violations.some(({ quotaId }) => /PerDay|Daily/.test(String(quotaId)));
}

/** Parses a duration in protobuf's JSON, such as `12.5s`. */
function seconds(duration: unknown): number | undefined {
  const found = typeof duration === 'string' ? /^(\d+(?:\.\d+)?)s$/.exec(duration)?.[1] : undefined;
  return found === undefined ? undefined : Math.ceil(Number(found));
}

function readError(body: string): { message: string; details: Record<string, unknown>[] } {
  try {
    // A stream that is not server-sent events is a list.
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

/** Reads the wait from Google's messages, such as "Please retry in 12.3s" or "Suggested retry after 60s". */
export function secondsToWait(message: string): number | undefined {
  const seconds = /retry (?:in|after) ([\d.]+)s/.exec(message)?.[1];
  return seconds === undefined ? undefined : Math.ceil(Number(seconds));
}
