import { Lexer, type Token, type Tokens } from 'marked';
import type { ComponentChildren, VNode } from 'preact';
import { memo } from 'preact/compat';
import { useRef } from 'preact/hooks';
import { CopyButton } from './copy-button.tsx';
import { PlainText } from './plain-text.tsx';

/** `blocks` are final and end at the offset `end` of `text`. */
type ParserState = { text: string; blocks: Token[]; end: number };

/**
 * Renders untrusted Markdown: HTML stays text, images are not loaded, and links have http, https or mailto URLs. While a
 * text grows, only its end is parsed again.
 */
export function Markdown({ text, streaming = false }: { text: string; streaming?: boolean }) {
  const parser = useRef<ParserState>({ text: '', blocks: [], end: 0 });
  if (!text.startsWith(parser.current.text)) parser.current = { text: '', blocks: [], end: 0 };
  const state = parser.current;
  const tail = lex(text.slice(state.end));
  if (streaming) {
    // The last blocks may still change: a list or table can continue after an empty line.
    const final = tail.slice(0, -3);
    state.blocks = [...state.blocks, ...final];
    state.end += final.reduce((length, token) => length + token.raw.length, 0);
    tail.splice(0, final.length);
  }
  state.text = text;
  const blocks = [...state.blocks, ...tail];
  return (
    <div class="markdown">
      {blocks.map((token, index) => (
        <Block key={index} token={token} />
      ))}
    </div>
  );
}

/** Returns a single token `unparsed` for a text whose nesting overflows the stack of the lexer. */
function lex(text: string): Token[] {
  try {
    return new Lexer().lex(text);
  } catch {
    return [{ type: 'unparsed', raw: text }];
  }
}

/** Deeper than people write. Some hundreds of levels overflow the stack of the renderer. */
const MAX_NESTING = 50;

function isDeeperThan(token: Token, depth: number): boolean {
  return depth === 0 || childrenOf(token).some((child) => isDeeperThan(child, depth - 1));
}

function childrenOf(token: Token): readonly Token[] {
  if (isToken(token, 'list')) return token.items;
  if (isToken(token, 'table')) return [token.header, ...token.rows].flat().flatMap(({ tokens }) => tokens);
  return 'tokens' in token ? (token.tokens ?? []) : [];
}

const Block = memo(
  ({ token }: { token: Token }) =>
    token.type === 'unparsed' || isDeeperThan(token, MAX_NESTING) ? <PlainText text={token.raw} /> : render(token),
  ({ token: a }, { token: b }) => a === b || (a.raw === b.raw && a.type === b.type),
);

function renderAll(tokens: readonly Token[] | undefined): ComponentChildren[] {
  return (tokens ?? []).map((token, index) => <Inline key={index} token={token} />);
}

function Inline({ token }: { token: Token }) {
  return render(token);
}

/** Narrows `Token`, which marked leaves open to extensions, to a standard token. */
function isToken<T extends MarkedToken['type']>(token: Token, type: T): token is Extract<MarkedToken, { type: T }> {
  return token.type === type;
}
type MarkedToken = import('marked').MarkedToken;

function render(token: Token): VNode | null {
  if (isToken(token, 'space') || isToken(token, 'def')) return null;
  if (isToken(token, 'heading'))
    return <h3 class={`heading-${Math.min(token.depth, 4)}`}>{renderAll(token.tokens)}</h3>;
  if (isToken(token, 'paragraph')) return <p>{renderAll(token.tokens)}</p>;
  if (isToken(token, 'code')) return <Code text={token.text} lang={token.lang ?? ''} />;
  if (isToken(token, 'blockquote')) return <blockquote>{renderAll(token.tokens)}</blockquote>;
  if (isToken(token, 'list')) return <List token={token} />;
  if (isToken(token, 'table')) return <Table token={token} />;
  if (isToken(token, 'hr')) return <hr />;
  if (isToken(token, 'strong')) return <strong>{renderAll(token.tokens)}</strong>;
  if (isToken(token, 'em')) return <em>{renderAll(token.tokens)}</em>;
  if (isToken(token, 'del')) return <del>{renderAll(token.tokens)}</del>;
  if (isToken(token, 'codespan')) return <code>{token.text}</code>;
  if (isToken(token, 'br')) return <br />;
  if (isToken(token, 'link')) return <Link href={token.href}>{renderAll(token.tokens)}</Link>;
  if (isToken(token, 'image')) return <span class="image">[image: {token.text || token.href}]</span>;
  if (isToken(token, 'escape')) return <>{token.text}</>;
  if (isToken(token, 'text')) return <>{token.tokens === undefined ? unescaped(token) : renderAll(token.tokens)}</>;
  // All other tokens, HTML among them, stay as written.
  return <>{token.raw}</>;
}

function unescaped(token: Tokens.Text): string {
  return token.raw.endsWith('\n') ? token.text : token.raw;
}

function Code({ text, lang }: { text: string; lang: string }) {
  return (
    <div class="code">
      <div class="code-head">
        <span>{lang.split(/\s/)[0] || 'text'}</span>
        <CopyButton text={text} />
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: the keyboard must reach a scrollable area */}
      <pre tabIndex={0}>
        <code>{text}</code>
      </pre>
    </div>
  );
}

function List({ token }: { token: Tokens.List }) {
  const items = token.items.map((item, index) => (
    <li key={index} class={item.task ? 'task' : undefined}>
      {item.task && <span class="box">{item.checked ? '☑' : '☐'} </span>}
      {renderAll(item.tokens.filter(({ type }) => type !== 'checkbox'))}
    </li>
  ));
  return token.ordered ? <ol start={Number(token.start || 1)}>{items}</ol> : <ul>{items}</ul>;
}

function Table({ token }: { token: Tokens.Table }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: the keyboard must reach a scrollable area
    <section class="table" tabIndex={0} aria-label="Table">
      <table>
        <thead>
          <tr>
            {token.header.map((cell, index) => (
              <th key={index}>{renderAll(cell.tokens)}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {token.rows.map((row, at) => (
            <tr key={at}>
              {row.map((cell, index) => (
                <td key={index}>{renderAll(cell.tokens)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

/** Renders absolute URLs only: a relative one would send the reader's session to a route of this server. */
function Link({ href, children }: { href: string; children: ComponentChildren }) {
  const url = URL.canParse(href) ? new URL(href) : undefined;
  if (url === undefined || !['https:', 'http:', 'mailto:'].includes(url.protocol)) return <span>{children}</span>;
  return (
    <a href={url.href} target="_blank" rel="noopener noreferrer nofollow" title={url.href}>
      {children}
    </a>
  );
}
