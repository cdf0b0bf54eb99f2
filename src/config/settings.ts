import { type StaticDecode, Type } from '@sinclair/typebox';
import { accessSettings } from './settings/access.ts';
import { agentSettings } from './settings/agents.ts';
import { githubSettings } from './settings/github.ts';
import { retentionSettings } from './settings/retention.ts';
import { runSettings } from './settings/runs.ts';
import { serverSettings } from './settings/server.ts';
import { traceSettings } from './settings/traces.ts';

/** Every setting of the server, as environment variables or lines of `.env`. */
export const Settings = Type.Object({
  ...serverSettings,
  ...retentionSettings,
  ...accessSettings,
  ...githubSettings,
  ...runSettings,
  ...traceSettings,
  ...agentSettings,
});

/** The decoded settings. */
export type Settings = StaticDecode<typeof Settings>;
