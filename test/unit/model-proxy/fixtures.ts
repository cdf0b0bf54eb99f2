import { type ClientRequest, createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { loadConfig } from '../../../src/config/load-config.ts';
import { geminiModel } from '../../../src/model-proxy/gemini/model-api.ts';
import type { Limit } from '../../../src/model-proxy/limits.ts';
import { createModelProxy } from '../../../src/model-proxy/model-proxy.ts';
import { createUpstream } from '../../../src/model-proxy/upstream.ts';
import { createRedactor } from '../../../src/redaction/redactor.ts';
import { listenOnLoopback } from '../../../src/sandbox/socket-forward.ts';
import type { Owner } from '../../helpers/server.ts';

export const KEY = 'AIzaSyRealKey0123456789';
export const STREAM = '/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse';
export const PLAIN = '/v1beta/models/gemini-2.5-pro:generateContent';
export const COUNT = '/v1beta/models/gemini-2.5-pro:countTokens';

export async function responseTo(sent: ClientRequest): Promise<IncomingMessage> {
  const answer = Promise.withResolvers<IncomingMessage>();
  sent.once('response', answer.resolve).once('error', answer.reject);
  return answer.promise;
}

export type ReceivedRequest = {
  method: string | undefined;
  url: string | undefined;
  headers: IncomingMessage['headers'];
  body: string;
};

type SendOptions = { method?: string; headers?: Record<string, string>; body?: string | Buffer };

/** Starts a model with the given answers, and a proxy in front of it. */
export async function makeProxy(
  t: Owner,
  answer: (response: ServerResponse, received: ReceivedRequest) => unknown,
  { path = '', settings = {} }: { path?: string; settings?: Record<string, string> } = {},
) {
  const received: ReceivedRequest[] = [];
  const model = createServer(async (incoming, response) => {
    const { method, url, headers } = incoming;
    const body = await text(incoming).catch(() => undefined);
    if (body === undefined) return;
    const request = { method, url, headers, body };
    received.push(request);
    answer(response, request);
  });
  const address = await listenOnLoopback(model);
  t.teardown(address.close);
  return { received, ...(await proxyTo(t, address.url + path, {}, settings)) };
}

export async function proxyTo(
  t: Owner,
  address: string,
  env: Record<string, string> = {},
  settings: Record<string, string> = {},
) {
  const variables = { GEMINI_API_KEY: KEY, GOOGLE_GEMINI_BASE_URL: address, ...settings };
  const config = loadConfig(variables, '/nonexistent');
  const upstream = createUpstream(env);
  t.teardown(upstream.close);
  const proxy = createModelProxy(geminiModel(config), upstream, createRedactor([KEY]));
  const service = await listenOnLoopback(proxy.server);
  t.teardown(service.close);
  const notified: object[] = [];
  const begin = (limit?: { limit: number; used: number; unit?: Limit['unit'] }, onCall = () => {}) =>
    proxy.begin({
      limits: limit ? [{ setting: 'THE_LIMIT', unit: 'tokens', ...limit }] : [],
      hints: {
        limitNear: ({ setting, detail }) => `near ${setting}: ${detail}`,
        repeatedFailure: (call, times) => `failed ${times} times: ${call}`,
      },
      notify(notification) {
        if (notification.type === 'call') onCall();
        if (notification.type === 'usage') notified.push({ ...notification.usage, model: notification.model });
        if (notification.type === 'warning') notified.push({ warning: notification.text });
        if (notification.type !== 'failure') return;
        const { code, message, retryAfter } = notification.error;
        notified.push({ code, message, retryAfter });
      },
    });
  const send = (path: string, options: SendOptions = {}) => {
    const { method = 'POST', headers = {}, body = '{}' } = options;
    const sent = request(service.url, { path, method, headers: { 'x-goog-api-key': proxy.token, ...headers } });
    sent.on('error', () => {});
    sent.end(method === 'GET' ? undefined : body);
    return sent;
  };
  const call = async (...args: Parameters<typeof send>) => {
    const answer = await responseTo(send(...args));
    return { status: answer.statusCode, headers: answer.headers, body: await text(answer) };
  };
  return { url: service.url, proxy, begin, send, call, notified };
}

export const event = (value: object) => `data: ${JSON.stringify(value)}\r\n\r\n`;
export const usage = (prompt: number, candidates: number) => ({
  usageMetadata: { promptTokenCount: prompt, candidatesTokenCount: candidates, totalTokenCount: prompt + candidates },
});
/** Formats a request with one message of a person. */
export const requestWith = (text: string) => JSON.stringify({ contents: [{ role: 'user', parts: [{ text }] }] });
export const textIn = (body: string) => JSON.parse(body).contents[0].parts[0].text;
export const json = (response: ServerResponse, value: unknown) =>
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
