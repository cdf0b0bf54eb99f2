import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BrowserContext, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import type { Owner } from './server.ts';

const ARGUMENTS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export type Browsing = { context: BrowserContext; page: Page; faults: string[] };

/**
 * Starts a browser with its own profile. `faults` collects uncaught errors, violations of the content security policy and
 * requests to other servers.
 */
export async function browse(t: Owner, url: string, options: BrowserContextOptions = {}): Promise<Browsing> {
  const profile = await mkdtemp(join(tmpdir(), 'pw-browser-'));
  t.teardown(() => rm(profile, { recursive: true, force: true, maxRetries: 5 }));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ARGUMENTS,
    baseURL: url,
    viewport: { width: 1280, height: 800 },
    ...options,
  });
  t.teardown(() => context.close());
  context.setDefaultTimeout(60_000);
  const faults: string[] = [];
  const watch = (page: Page) => {
    page.on('pageerror', (error) => faults.push(`error: ${error.message}`));
    page.on('console', (message) => {
      if (/Content Security Policy|TrustedHTML|TrustedScript/i.test(message.text())) faults.push(message.text());
    });
  };
  context.on('page', watch);
  context.on('request', (request) => {
    if (new URL(request.url()).origin !== new URL(url).origin) faults.push(`request: ${request.url()}`);
  });
  const page = context.pages()[0] ?? (await context.newPage());
  watch(page);
  return { context, page, faults };
}
