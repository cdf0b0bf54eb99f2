import { Type } from '@sinclair/typebox';
import { DEFAULT_WORD, readProtectedPaths } from '../protected-paths.ts';
import { checkItem, count, decoded, list, SettingError, splitList, text } from './kinds.ts';

const HOST = /^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/;

export const githubSettings = {
  ALLOWED_REPO_HOSTS: list('github.com', 'Hosts from which repositories are accepted.', (item) => {
    const host = item.toLowerCase();
    checkItem(HOST.test(host), host, 'not a host name', 'github.com');
    return host;
  }),
  GITHUB_TOKEN: Type.Optional(
    text(
      'Token for git and pull requests, with read and write access to contents and pull requests. By default, the login of `gh` is used.',
    ),
  ),
  GITHUB_TOKEN_FILE: Type.Optional(text('File that contains the token, instead of GITHUB_TOKEN.')),
  GITHUB_HOST: Type.Optional(
    decoded(
      text(
        'The host that GITHUB_TOKEN or the GitHub App is for. By default it is the only host of ALLOWED_REPO_HOSTS, or github.com if there are several. For other hosts, the login of `gh` is used.',
      ),
      (host) => host.toLowerCase(),
    ),
  ),
  GITHUB_APP_ID: Type.Optional(
    text('Id of a GitHub App to use instead of a token. It needs read and write access to contents and pull requests.'),
  ),
  GITHUB_APP_PRIVATE_KEY_FILE: Type.Optional(
    text('File that contains the private key of the app, as GitHub generated it (PEM).'),
  ),
  GITHUB_APP_INSTALLATION_ID: Type.Optional(
    Type.String({ pattern: '^[0-9]+$', description: 'Installation of the app; required if it has several.' }),
  ),
  GITHUB_HTTP_UNIX_SOCKET: Type.Optional(
    text('Unix socket through which `gh` connects to the API, for a local relay.'),
  ),
  PROTECTED_PATHS: decoded(
    Type.String({
      default: DEFAULT_WORD,
      description:
        'Files and folders, relative to the top of the repository, whose changes are never committed. Such changes stay in the workspace; the run and the pull request name them. `default` stands for the list below, as in `default,infra/`. `none` protects nothing. Comma-separated.',
    }),
    (value): readonly string[] => {
      const { paths, problems } = readProtectedPaths(splitList(value));
      if (problems.length > 0) throw new SettingError(...problems);
      return paths;
    },
  ),
  GIT_AUTHOR_NAME: text('Author of the commits.', 'Pullwright'),
  GIT_AUTHOR_EMAIL: text('E-mail address of the author.', 'pullwright@users.noreply.github.com'),
  GIT_TIMEOUT_SECONDS: count(1800, 5, 86_400, 'Time limit of a git command.'),
  FETCH_TTL_SECONDS: count(
    15,
    0,
    300,
    'Time for which the server reuses the result of a fetch when it creates a ticket or starts `make_plan`. `chat` accepts a result of up to five minutes and fetches for the next command. `dev` and sync always fetch. 0: all of them fetch.',
  ),
  SPARE_CHECKOUTS: count(
    3,
    0,
    1000,
    'Number of repositories with a spare checkout, those of the newest tickets. A repository needs at least 1,000 files for one, and a tenth of the disk must be free.',
  ),
};
