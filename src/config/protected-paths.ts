/**
 * Files and folders that CI systems, review rules and bots obey, and who does. A change of one decides what runs with
 * the repository's secrets, who has to review, or what is merged, before anybody has read it. Folders end with a slash.
 * Not here are build scripts, such as package.json or a Makefile: they are the work itself, and a person reviews them.
 */
export const DEFAULT_PROTECTED_PATHS: readonly (readonly [path: string, obeyedBy: string])[] = [
  // Whole, since apps look for settings of any name there, and instructions for reviewing agents lie there as well.
  [
    '.github/',
    'GitHub: workflows, actions, CODEOWNERS, Dependabot, code scanning, Copilot; apps that keep settings there',
  ],
  ['CODEOWNERS', 'GitHub, GitLab, Gitea and Forgejo: who has to review'],
  ['docs/CODEOWNERS', 'GitHub, GitLab, Gitea and Forgejo: who has to review'],
  ['.gitlab/', 'GitLab: CODEOWNERS, merge request templates, agents'],
  ['.gitlab-ci.yml', 'GitLab CI'],
  ['.gitlab-ci/', 'GitLab CI'],
  ['.gitea/', 'Gitea Actions, CODEOWNERS'],
  ['.forgejo/', 'Forgejo Actions, CODEOWNERS'],
  ['OWNERS', 'Prow: who may approve'],
  ['OWNERS_ALIASES', 'Prow: who may approve'],
  ['.prow/', 'Prow'],
  ['.prow.yaml', 'Prow'],
  ['.gitmodules', 'git: where a check-out of a CI system fetches submodules from'],
  ['.lfsconfig', 'Git LFS: where a check-out of a CI system fetches files from'],
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
  ['renovate.json', 'Renovate: what is updated and merged'],
  ['renovate.json5', 'Renovate: what is updated and merged'],
  ['.renovaterc', 'Renovate: what is updated and merged'],
  ['.renovaterc.json', 'Renovate: what is updated and merged'],
  ['.renovaterc.json5', 'Renovate: what is updated and merged'],
  ['.dependabot/', 'Dependabot: what is updated and merged'],
  ['.mergify.yml', 'Mergify: what is merged'],
  ['.mergify/', 'Mergify: what is merged'],
  ['.kodiak.toml', 'Kodiak: what is merged'],
  ['.bulldozer.yml', 'Bulldozer: what is merged'],
  ['bors.toml', 'bors: what is merged'],
  ['.aviator/', 'Aviator: what is merged'],
  ['.trunk/', 'Trunk: what is checked and merged'],
  ['.allstar/', 'OpenSSF Allstar: rules of the repository'],
  ['Dangerfile', 'Danger: rules of reviews'],
  ['dangerfile.js', 'Danger: rules of reviews'],
  ['dangerfile.ts', 'Danger: rules of reviews'],
  ['Dangerfile.swift', 'Danger: rules of reviews'],
  ['Dangerfile.df.kts', 'Danger: rules of reviews'],
  ['.policy.yml', 'Policy Bot: who has to review'],
  ['.pullapprove.yml', 'PullApprove: who has to review'],
  ['.pullapprove.yaml', 'PullApprove: who has to review'],
  ['.lgtm', 'LGTM: who has to review'],
  ['.reviewpad.yml', 'Reviewpad: who has to review'],
  ['.cm/', 'gitStream: who has to review'],
  ['.coderabbit.yaml', 'CodeRabbit: what is reviewed'],
  ['.coderabbit.yml', 'CodeRabbit: what is reviewed'],
  ['.pr_agent.toml', 'Qodo: what is reviewed'],
  ['.sourcery.yaml', 'Sourcery: what is reviewed'],
  ['greptile.json', 'Greptile: what is reviewed'],
  ['.cursor/BUGBOT.md', 'Bugbot: what is reviewed'],
  ['.pre-commit-config.yaml', 'pre-commit.ci: what is checked'],
  ['.codecov.yml', 'Codecov: what passes'],
  ['codecov.yml', 'Codecov: what passes'],
  ['.coveralls.yml', 'Coveralls: what passes'],
  ['sonar-project.properties', 'SonarQube: what is checked'],
  ['.sonarcloud.properties', 'SonarQube Cloud: what is checked'],
  ['.codeclimate.yml', 'Code Climate: what is checked'],
  ['.codacy.yml', 'Codacy: what is checked'],
  ['.codacy.yaml', 'Codacy: what is checked'],
  ['.deepsource.toml', 'DeepSource: what is checked'],
  ['.lgtm.yml', 'LGTM.com: what is checked'],
  ['lgtm.yml', 'LGTM.com: what is checked'],
  ['.snyk', 'Snyk: what is passed over'],
  ['.gitguardian.yml', 'GitGuardian: what is passed over'],
  ['.gitguardian.yaml', 'GitGuardian: what is passed over'],
  ['.gitleaks.toml', 'Gitleaks: what is passed over'],
  ['.gitleaksignore', 'Gitleaks: what is passed over'],
  ['.whitesource', 'Mend: what is passed over'],
  ['.pullwright/', 'Pullwright: kept for settings of a repository'],
];

/** Stands for the list above in the setting, with further paths beside it. */
export const DEFAULT_WORD = 'default';

/**
 * Splits a path into names, such that two which some file system takes for one are equal: HFS+ and APFS ignore case, the
 * form of Unicode and characters that are not seen; NTFS ignores case, dots and spaces at the end, and what follows a
 * colon, and knows a backslash as a separator.
 * @returns no name at all when no file can be meant
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
 * Reads the setting: paths, the word `default` among them, or the word `none`.
 * @param paths of the list
 * @returns each path once, and what is wrong with the others, one line each
 */
export function readProtectedPaths(paths: readonly string[]): { paths: string[]; problems: string[] } {
  if (paths.length === 1 && paths[0] === 'none') return { paths: [], problems: [] };
  // An empty value counts as unset, so it takes a word to protect nothing.
  if (paths.length === 0)
    return { paths: [], problems: ['PROTECTED_PATHS holds no path. Set it to none, or remove it.'] };
  const defaults = DEFAULT_PROTECTED_PATHS.map(([path]) => path);
  const all = new Set(paths.flatMap((path) => (path === DEFAULT_WORD ? defaults : [path])));
  const problems = [...all].flatMap((path) => {
    const wrong = problemOf(path);
    return wrong === undefined ? [] : [`PROTECTED_PATHS holds ${JSON.stringify(path)}, ${wrong}`];
  });
  return { paths: [...all], problems };
}

/** A rule that matches nothing would leave a file open that somebody takes for protected. */
function problemOf(path: string): string | undefined {
  if (path === 'none') return 'which stands alone or not at all. Remove it, or remove the paths.';
  if (foldedNames(path).length === 0) return 'which names no file or folder. Write it like .github/workflows/.';
  if (/[*?]/.test(path)) return 'which is a pattern. Name files and folders, such as .github/workflows/, or ci.yml.';
  if (/(?:^|[/\\])\.\.(?:[/\\]|$)/.test(path)) {
    return 'which leads out of a folder. Write it from the top of the repository, like .github/workflows/.';
  }
  return undefined;
}
