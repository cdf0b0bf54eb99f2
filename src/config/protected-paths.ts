/**
 * Files and folders that CI systems, review rules and bots obey, each with the programs that obey it. A change of one takes
 * effect before a person has reviewed it: it can run code with the repository's secrets, change the required reviewers or
 * merge. Folders end with a slash. Build scripts, such as package.json or a Makefile, are not in the list: changing them is
 * ordinary work, and a person reviews it.
 */
export const DEFAULT_PROTECTED_PATHS: readonly (readonly [path: string, obeyedBy: string])[] = [
  // The whole folder: apps read settings of any name from it, and review agents their instructions.
  [
    '.github/',
    'GitHub: workflows, actions, CODEOWNERS, Dependabot, code scanning, Copilot; apps with settings in this folder',
  ],
  ['CODEOWNERS', 'GitHub, GitLab, Gitea and Forgejo: required reviewers'],
  ['docs/CODEOWNERS', 'GitHub, GitLab, Gitea and Forgejo: required reviewers'],
  ['.gitlab/', 'GitLab: CODEOWNERS, merge request templates, agents'],
  ['.gitlab-ci.yml', 'GitLab CI'],
  ['.gitlab-ci/', 'GitLab CI'],
  ['.gitea/', 'Gitea Actions, CODEOWNERS'],
  ['.forgejo/', 'Forgejo Actions, CODEOWNERS'],
  ['OWNERS', 'Prow: approvers'],
  ['OWNERS_ALIASES', 'Prow: approvers'],
  ['.prow/', 'Prow'],
  ['.prow.yaml', 'Prow'],
  ['.gitmodules', 'git: submodules that a CI system fetches'],
  ['.lfsconfig', 'Git LFS: server from which a CI system fetches files'],
  ['.circleci/', 'CircleCI'],
  ['circle.yml', 'CircleCI'],
  ['.travis.yml', 'Travis CI'],
  ['Jenkinsfile', 'Jenkins'],
  ['azure-pipelines.yml', 'Azure Pipelines'],
  ['azure-pipelines.yaml', 'Azure Pipelines'],
  ['azure-pipelines/', 'Azure Pipelines'],
  ['.azure-pipelines/', 'Azure Pipelines'],
  ['.azuredevops/', 'Azure DevOps: pipelines, policies'],
  ['.vsts-ci.yml', 'Azure Pipelines'],
  ['bitbucket-pipelines.yml', 'Bitbucket Pipelines'],
  ['.bitbucket/', 'Bitbucket: CODEOWNERS'],
  ['appveyor.yml', 'AppVeyor'],
  ['.appveyor.yml', 'AppVeyor'],
  ['.cirrus.yml', 'Cirrus CI'],
  ['.cirrus.star', 'Cirrus CI'],
  ['.drone.yml', 'Drone'],
  ['.drone.yaml', 'Drone'],
  ['.drone.star', 'Drone'],
  ['.drone.jsonnet', 'Drone'],
  ['.woodpecker/', 'Woodpecker'],
  ['.woodpecker.yml', 'Woodpecker'],
  ['.woodpecker.yaml', 'Woodpecker'],
  ['.buildkite/', 'Buildkite'],
  ['buildkite.yml', 'Buildkite'],
  ['buildkite.yaml', 'Buildkite'],
  ['buildkite.json', 'Buildkite'],
  ['.teamcity/', 'TeamCity'],
  ['.semaphore/', 'Semaphore'],
  ['.harness/', 'Harness'],
  ['.tekton/', 'Tekton, Pipelines as Code'],
  ['screwdriver.yaml', 'Screwdriver'],
  ['.vela.yml', 'Vela'],
  ['.vela.yaml', 'Vela'],
  ['.zuul.yaml', 'Zuul'],
  ['.zuul.d/', 'Zuul'],
  ['zuul.yaml', 'Zuul'],
  ['zuul.d/', 'Zuul'],
  ['.builds/', 'builds.sr.ht'],
  ['.build.yml', 'builds.sr.ht'],
  ['.taskcluster.yml', 'Taskcluster'],
  ['.scrutinizer.yml', 'Scrutinizer'],
  ['.cds/', 'CDS'],
  ['.onedev-buildspec.yml', 'OneDev'],
  ['buddy.yml', 'Buddy'],
  ['.buddy/', 'Buddy'],
  ['bitrise.yml', 'Bitrise'],
  ['codefresh.yml', 'Codefresh'],
  ['.codefresh/', 'Codefresh'],
  ['codemagic.yaml', 'Codemagic'],
  ['codeship-services.yml', 'Codeship'],
  ['codeship-steps.yml', 'Codeship'],
  ['wercker.yml', 'Wercker'],
  ['cloudbuild.yaml', 'Google Cloud Build'],
  ['cloudbuild.yml', 'Google Cloud Build'],
  ['cloudbuild.json', 'Google Cloud Build'],
  ['buildspec.yml', 'AWS CodeBuild'],
  ['buildspec.yaml', 'AWS CodeBuild'],
  ['appspec.yml', 'AWS CodeDeploy'],
  ['appspec.yaml', 'AWS CodeDeploy'],
  ['.codecatalyst/', 'Amazon CodeCatalyst'],
  ['amplify.yml', 'AWS Amplify'],
  ['ci_scripts/', 'Xcode Cloud'],
  ['.eas/', 'Expo Application Services'],
  ['netlify.toml', 'Netlify: commands of previews and deployments'],
  ['vercel.json', 'Vercel: commands of previews and deployments'],
  ['render.yaml', 'Render: commands of previews and deployments'],
  ['.readthedocs.yml', 'Read the Docs: commands of previews'],
  ['.readthedocs.yaml', 'Read the Docs: commands of previews'],
  ['.devcontainer/', 'GitHub Codespaces: commands of prebuilds'],
  ['.devcontainer.json', 'GitHub Codespaces: commands of prebuilds'],
  ['.gitpod.yml', 'Gitpod: commands of prebuilds'],
  ['renovate.json', 'Renovate: updates and merges'],
  ['renovate.json5', 'Renovate: updates and merges'],
  ['.renovaterc', 'Renovate: updates and merges'],
  ['.renovaterc.json', 'Renovate: updates and merges'],
  ['.renovaterc.json5', 'Renovate: updates and merges'],
  ['.dependabot/', 'Dependabot: updates and merges'],
  ['.mergify.yml', 'Mergify: automatic merges'],
  ['.mergify/', 'Mergify: automatic merges'],
  ['.kodiak.toml', 'Kodiak: automatic merges'],
  ['.bulldozer.yml', 'Bulldozer: automatic merges'],
  ['bors.toml', 'bors: automatic merges'],
  ['.aviator/', 'Aviator: automatic merges'],
  ['.trunk/', 'Trunk: checks and merges'],
  ['.allstar/', 'OpenSSF Allstar: repository rules'],
  ['Dangerfile', 'Danger: review rules'],
  ['dangerfile.js', 'Danger: review rules'],
  ['dangerfile.ts', 'Danger: review rules'],
  ['Dangerfile.swift', 'Danger: review rules'],
  ['Dangerfile.df.kts', 'Danger: review rules'],
  ['.policy.yml', 'Policy Bot: required reviewers'],
  ['.pullapprove.yml', 'PullApprove: required reviewers'],
  ['.pullapprove.yaml', 'PullApprove: required reviewers'],
  ['.lgtm', 'LGTM: required reviewers'],
  ['.reviewpad.yml', 'Reviewpad: required reviewers'],
  ['.cm/', 'gitStream: required reviewers'],
  ['.coderabbit.yaml', 'CodeRabbit: reviews'],
  ['.coderabbit.yml', 'CodeRabbit: reviews'],
  ['.pr_agent.toml', 'Qodo: reviews'],
  ['.sourcery.yaml', 'Sourcery: reviews'],
  ['greptile.json', 'Greptile: reviews'],
  ['.cursor/BUGBOT.md', 'Bugbot: reviews'],
  ['.pre-commit-config.yaml', 'pre-commit.ci: checks'],
  ['.codecov.yml', 'Codecov: status checks'],
  ['codecov.yml', 'Codecov: status checks'],
  ['.coveralls.yml', 'Coveralls: status checks'],
  ['sonar-project.properties', 'SonarQube: checks'],
  ['.sonarcloud.properties', 'SonarQube Cloud: checks'],
  ['.codeclimate.yml', 'Code Climate: checks'],
  ['.codacy.yml', 'Codacy: checks'],
  ['.codacy.yaml', 'Codacy: checks'],
  ['.deepsource.toml', 'DeepSource: checks'],
  ['.lgtm.yml', 'LGTM.com: checks'],
  ['lgtm.yml', 'LGTM.com: checks'],
  ['.snyk', 'Snyk: ignored findings'],
  ['.gitguardian.yml', 'GitGuardian: ignored findings'],
  ['.gitguardian.yaml', 'GitGuardian: ignored findings'],
  ['.gitleaks.toml', 'Gitleaks: ignored findings'],
  ['.gitleaksignore', 'Gitleaks: ignored findings'],
  ['.whitesource', 'Mend: ignored findings'],
  ['.pullwright/', 'Pullwright: reserved for settings of a repository'],
];

/** Stands for the list above in the setting; further paths can follow. */
export const DEFAULT_WORD = 'default';

/**
 * Splits a path into names and folds each, so that names which are the same file on some file system are equal. HFS+ and
 * APFS ignore case, Unicode normalization and invisible characters. NTFS ignores case, trailing dots and spaces, and the
 * text after a colon; a backslash separates names.
 * @returns no names for a path that cannot be a file
 */
export function foldedNames(path: string): string[] {
  return path
    .normalize('NFKC')
    .replace(/\p{Default_Ignorable_Code_Point}/gu, '')
    .toLowerCase()
    .normalize('NFKC')
    .split(/[/\\]/)
    .map((name) => name.replace(/:.*$/s, '').replace(/[. ]+$/, ''))
    .filter((name) => name !== '');
}

/**
 * Reads the items of the setting: paths, which may include `default`, or only `none`.
 * @returns each path once, and a line for each invalid path, as in SettingError
 */
export function readProtectedPaths(paths: readonly string[]): { paths: string[]; problems: string[] } {
  if (paths.length === 1 && paths[0] === 'none') return { paths: [], problems: [] };
  // An empty value counts as unset, so `none` is the way to protect nothing.
  if (paths.length === 0) return { paths: [], problems: ['holds no path. Set it to none, or remove it.'] };
  const defaults = DEFAULT_PROTECTED_PATHS.map(([path]) => path);
  const all = new Set(paths.flatMap((path) => (path === DEFAULT_WORD ? defaults : [path])));
  const problems = [...all].flatMap((path) => {
    const fault = faultOf(path);
    return fault === undefined ? [] : [`holds ${JSON.stringify(path)}, ${fault}`];
  });
  return { paths: [...all], problems };
}

/** Returns why a path would protect nothing, although its author relies on it; with a remedy. */
function faultOf(path: string): string | undefined {
  if (path === 'none') return 'which cannot be combined with paths. Remove it, or remove the paths.';
  if (foldedNames(path).length === 0) return 'which names no file or folder. Write it like .github/workflows/.';
  if (/[*?]/.test(path)) return 'which is a pattern. Name files and folders, such as .github/workflows/, or ci.yml.';
  if (/(?:^|[/\\])\.\.(?:[/\\]|$)/.test(path)) {
    return 'which leaves its folder. Write it relative to the top of the repository, like .github/workflows/.';
  }
  return undefined;
}
