import fp from 'fastify-plugin';
import { AppError } from '../../src/errors/app-error.ts';

const MAX_URL_LENGTH = 4096;
const MAX_JSON_DEPTH = 16;

/**
 * Limits the length of URLs and the depth of JSON, the only content type. `src/app.ts` limits the sizes of bodies and headers.
 */
export default fp(
  async (app) => {
    app.addHook('onRequest', (request, _reply, done) => {
      if (request.url.length > MAX_URL_LENGTH) {
        throw new AppError('url_too_long', `The URL is longer than ${MAX_URL_LENGTH} characters.`);
      }
      done();
    });

    const parse = app.getDefaultJsonParser('error', 'error');
    // Browsers send text/plain without a preflight, so a page could post to a server that needs no key.
    app.removeContentTypeParser('text/plain');
    app.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (request, body, done) => {
      if (isDeeperThan(body, MAX_JSON_DEPTH)) {
        const error = new AppError('invalid_request', `The JSON is nested more than ${MAX_JSON_DEPTH} levels deep.`);
        return done(error, undefined);
      }
      return parse(request, body, done);
    });
  },
  { name: 'request-limits' },
);

/** Tests whether brackets outside of strings are nested deeper than the limit. */
function isDeeperThan(json: string, limit: number): boolean {
  let depth = 0;
  let inString = false;
  for (let at = 0; at < json.length; at++) {
    const character = json[at];
    if (inString) {
      if (character === '\\') at++;
      else if (character === '"') inString = false;
    } else if (character === '"') inString = true;
    else if (character === '{' || character === '[') {
      if (++depth > limit) return true;
    } else if (character === '}' || character === ']') depth--;
  }
  return false;
}
