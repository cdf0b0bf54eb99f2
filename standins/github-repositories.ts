import { join } from 'node:path';
import { commitFiles, createBareRepository, type Source } from './bare-repository.ts';
import { type Repository, refreshPulls } from './github-model.ts';

export type RepositoryOptions = Source & {
  defaultBranch?: string;
  private?: boolean;
  /** Branches that reject every push. */
  protectedBranches?: readonly string[];
};

export type FileChange = { branch?: string; files: Record<string, string>; message?: string };

/** The repositories of a stand-in. */
export type Repositories = ReturnType<typeof createRepositories>;

/** @param root folder of the bare repositories, OWNER/NAME.git */
export function createRepositories(root: string) {
  const repositories = new Map<string, Repository>();

  /** @throws Error for an unknown repository */
  function get(fullName: string): Repository {
    const found = repositories.get(fullName.toLowerCase());
    if (!found) throw new Error(`There is no repository ${fullName}; add it first.`);
    return found;
  }

  return {
    get,
    find: (owner: string, name: string) => repositories.get(`${owner}/${name}`.toLowerCase()),

    async add(fullName: string, options: RepositoryOptions = {}): Promise<Repository> {
      const { private: hidden = false, protectedBranches = [], ...source } = options;
      const [owner = '', name = ''] = fullName.split('/');
      const directory = join(root, owner, `${name}.git`);
      const defaultBranch = await createBareRepository(directory, { ...source, protectedBranches });
      const id = repositories.size + 1;
      const settings = { private: hidden, defaultBranch, protectedBranches };
      const added: Repository = { id, owner, name, directory, ...settings, pulls: [], checkRuns: [] };
      repositories.set(fullName.toLowerCase(), added);
      return added;
    },

    async commit(fullName: string, { branch, files, message = 'Change files' }: FileChange): Promise<string> {
      const repository = get(fullName);
      const sha = await commitFiles(repository.directory, branch ?? repository.defaultBranch, files, message);
      await refreshPulls(repository);
      return sha;
    },
  };
}
