import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { TicketId } from '../../schemas/common.ts';
import type { Config } from '../config/load-config.ts';
import { AppError } from '../errors/app-error.ts';

/** Paths of all data. DATA_DIR and TICKETS_ROOT may be two file systems, so each has its own staging and trash. */
export type Layout = ReturnType<typeof createLayout>;

const TICKET_ID = new RegExp(TicketId.pattern ?? '');

export function createLayout(config: Pick<Config, 'DATA_DIR' | 'TICKETS_ROOT'>) {
  const { DATA_DIR, TICKETS_ROOT } = config;

  function mirrorAt(text: string): string {
    const key = createHash('sha256').update(text).digest('hex').slice(0, 16);
    return join(DATA_DIR, 'mirrors', `${key}.git`);
  }

  return {
    data: {
      mirrors: join(DATA_DIR, 'mirrors'),
      gitDirs: join(DATA_DIR, 'gitdirs'),
      staging: join(DATA_DIR, 'staging'),
      trash: join(DATA_DIR, 'trash'),
      /** Files of running processes, such as sockets. */
      tmp: join(DATA_DIR, 'tmp'),
    },
    tickets: {
      root: TICKETS_ROOT,
      staging: join(TICKETS_ROOT, '.staging'),
      trash: join(TICKETS_ROOT, '.trash'),
      /** `.git` of nested repositories, by ticket. Moved out of a workspace and deleted with it. */
      quarantine: join(TICKETS_ROOT, '.quarantine'),
    },

    /** Files with the same id, which pair the two folders. */
    pairing: { data: join(DATA_DIR, 'owner-id'), tickets: join(TICKETS_ROOT, '.owner-id') },

    /**
     * Returns the path of a repository's mirror. Git hosts ignore case in owners and names, so all spellings share one.
     * Earlier versions made a mirror for each spelling; these stay in use while they exist, because tickets borrow from them.
     * @param repoUrl `url` of a RepoRef
     */
    mirror(repoUrl: string): string {
      const spelled = mirrorAt(repoUrl);
      const shared = mirrorAt(repoUrl.toLowerCase());
      return spelled !== shared && existsSync(spelled) ? spelled : shared;
    },

    /** @throws AppError `invalid_request` for an invalid id, which could lead out of these folders */
    ticket(ticketId: string): { workspace: string; gitDir: string } {
      if (!TICKET_ID.test(ticketId)) {
        throw new AppError('invalid_request', 'The ticket id is not valid.', {
          errors: [{ path: '/ticket_id', message: 'must be letters, digits and inner dashes' }],
        });
      }
      return { workspace: join(TICKETS_ROOT, ticketId), gitDir: join(DATA_DIR, 'gitdirs', `${ticketId}.git`) };
    },
  };
}
