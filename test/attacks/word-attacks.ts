import type { Effect } from './word-effects.ts';

/**
 * What a model says, a ticket is called, a plan, a file or a branch is named, so that GitHub, a CI system or a bot acts on
 * it. None of it may have its effect, in a commit or in a pull request.
 */
export type WordAttack = {
  name: string;
  /** Few, so that several fit into a title. */
  words: string;
  /** What comes of it where nothing is made inert. */
  effect: Effect;
};

export const WORD_ATTACKS: readonly WordAttack[] = [
  { name: 'a mention', words: 'ask @octocat', effect: 'mention' },
  { name: 'a mention of a team', words: '(@acme/owners)', effect: 'mention' },
  { name: 'a mention in emphasis', words: '_@octocat_', effect: 'mention' },
  { name: 'a mention behind a backslash', words: '\\@octocat', effect: 'mention' },
  { name: 'a mention by a decimal entity', words: '&#64;octocat', effect: 'mention' },
  { name: 'a mention by a decimal entity with zeros', words: '&#0000064;octocat', effect: 'mention' },
  { name: 'a mention by a hexadecimal entity', words: '&#X40;octocat', effect: 'mention' },
  { name: 'a mention by an entity without its end', words: '&#64octocat', effect: 'mention' },
  { name: 'a mention by a named entity', words: '&commat;octocat', effect: 'mention' },
  { name: 'a mention by an entity of an entity', words: '&amp;commat;octocat', effect: 'mention' },
  { name: 'a mention split unseen', words: '@\u200boctocat', effect: 'mention' },
  { name: 'a mention in full width', words: '\uff20octocat', effect: 'mention' },
  { name: 'a command to a bot by mention', words: '@dependabot merge', effect: 'mention' },

  { name: 'a word that closes an issue', words: 'Fixes #12', effect: 'closing' },
  { name: 'one with a colon', words: 'closes: #12', effect: 'closing' },
  { name: 'one in capitals', words: 'RESOLVED GH-7', effect: 'closing' },
  { name: 'one for another repository', words: 'fix acme/secret#3', effect: 'closing' },
  { name: 'one with an address', words: 'fixed https://github.com/a/b/issues/1', effect: 'closing' },
  { name: 'one with an entity in the word', words: 'f&#105;xes #13', effect: 'closing' },
  { name: 'one with an entity for the number sign', words: 'fixes &num;4', effect: 'closing' },
  { name: 'one with emphasis', words: '**Fix**es #**12**', effect: 'closing' },
  { name: 'one with a comment', words: 'fix<!-- -->es #12', effect: 'closing' },
  { name: 'one over two lines', words: 'Fixes\n#12', effect: 'closing' },
  { name: 'one split unseen', words: 'Fi\u2060xes #\u20631', effect: 'closing' },
  { name: 'one for another tracker', words: 'Fixes ENG-123', effect: 'closing' },

  { name: 'a reference', words: 'see #12', effect: 'reference' },
  { name: 'a reference by a word', words: 'see GH\\-12', effect: 'reference' },
  { name: 'a reference by an address', words: 'https://github.com/a/b/pull/1', effect: 'reference' },
  { name: 'a commit', words: 'like a5c3785ed8d6a35868bc', effect: 'reference' },
  { name: 'a command for Jira', words: 'JRA-1 #close', effect: 'command' },

  { name: 'a marker that skips a build', words: '[skip ci]', effect: 'skip' },
  { name: 'one the other way round', words: '[CI Skip]', effect: 'skip' },
  { name: 'one with no', words: '[no ci]', effect: 'skip' },
  { name: 'one for actions', words: '[actions skip]', effect: 'skip' },
  { name: 'one for another system', words: '[skip netlify]', effect: 'skip' },
  { name: 'one with dashes', words: '[CF-Pages-Skip]', effect: 'skip' },
  { name: 'one with stars', words: '***NO_CI***', effect: 'skip' },
  { name: 'one without brackets', words: 'now --skip-ci', effect: 'skip' },
  { name: 'one by entities', words: '&lbrack;skip ci&#93;', effect: 'skip' },

  { name: 'a picture of somebody else', words: '![x](https://e.test/?a)', effect: 'link' },
  { name: 'a link whose text lies', words: '[github.com](https://e.test)', effect: 'link' },
  { name: 'a link by reference', words: '[a][b]\n\n[b]: //e.test', effect: 'link' },
  { name: 'an address', words: 'www.e.test', effect: 'link' },
  { name: 'HTML', words: '</details><h2>Approved</h2>', effect: 'html' },
  { name: 'a hidden comment', words: '<!-- ignore the review -->', effect: 'html' },
  { name: 'an alert', words: '[!CAUTION]', effect: 'link' },
  { name: 'reversed text', words: 'safe \u202egnihtyreve\u2066', effect: 'unseen' },
  { name: 'tags written unseen', words: 'a\u{e0041}b', effect: 'unseen' },
];

/** What acts at the beginning of a line, and so neither in a title nor in a name. */
export const LINE_ATTACKS: readonly WordAttack[] = [
  { name: 'a sign-off of somebody', words: 'Signed-off-by: Ann <ann@acme.test>', effect: 'trailer' },
  { name: 'an author beside', words: 'Co-authored-by: Ann <ann@acme.test>', effect: 'trailer' },
  { name: 'a review', words: 'reviewed-by : Ann', effect: 'trailer' },
  { name: 'a change of Gerrit', words: 'Change-Id: I0123456789abcdef0123456789abcdef01234567', effect: 'trailer' },
  {
    name: 'a run of the server',
    words: 'Plan-Version: 99\nRun-Id: 0198c0de-0000-7000-8000-000000000000',
    effect: 'trailer',
  },
  { name: 'a trailer before a line of dashes', words: 'Run-Id: 1\n---\nmore', effect: 'trailer' },
  {
    name: 'a trailer before scissors',
    words: 'Run-Id: 1\n\n# ------------------------ >8 ------------------------\nmore',
    effect: 'trailer',
  },
  { name: 'a trailer that skips checks', words: 'done\n\n\nskip-checks: true', effect: 'skip' },
  { name: 'a trailer in emphasis', words: '**Co-authored-by**: Ann', effect: 'trailer' },
  { name: 'a release of another version', words: 'BREAKING CHANGE: all of it', effect: 'release' },
  { name: 'a version to release', words: 'Release-As: 9.0.0', effect: 'trailer' },
  { name: 'a command to a bot', words: '/merge', effect: 'command' },
  { name: 'a command in a list', words: '- /approve', effect: 'command' },
  { name: 'a command to bors', words: 'bors r+', effect: 'command' },
];
