import { Argument, type Command } from 'commander';

const SCRIPTS = {
  bash: `_pullwright() {
  COMPREPLY=($(compgen -W "$(pullwright complete -- "\${COMP_WORDS[@]:1:COMP_CWORD-1}" 2>/dev/null)" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _pullwright pullwright`,
  zsh: `#compdef pullwright
_pullwright() {
  compadd -- \${(f)"$(pullwright complete -- "\${(@)words[2,CURRENT-1]}" 2>/dev/null)}"}
}
compdef _pullwright pullwright`,
  fish: `complete -c pullwright -a '(pullwright complete -- (commandline -opc)[2..] 2>/dev/null)'`,
};

/** Adds `pullwright completion SHELL`, whose script calls the hidden command `pullwright complete -- WORD...`. */
export function addCompletionCommand(program: Command): void {
  program
    .command('completion')
    .summary('print a completion script for your shell')
    .description('Prints a completion script. In bash: source <(pullwright completion bash)')
    .addArgument(new Argument('<shell>').choices(Object.keys(SCRIPTS)))
    .action((shell: keyof typeof SCRIPTS) => console.log(SCRIPTS[shell]));

  program
    .command('complete [words...]', { hidden: true })
    .action((words: string[]) => console.log(candidates(program, words).join('\n')));
}

/** Returns the candidates after the words: the values of an option or argument, or else commands and options. */
function candidates(program: Command, words: string[]): string[] {
  let at = program;
  for (const word of words) at = at.commands.find((command) => command.name() === word) ?? at;
  const option = at.options.find(({ long, short }) => words.at(-1) === long || words.at(-1) === short);
  if (option?.argChoices !== undefined) return option.argChoices;
  const values = at.registeredArguments.flatMap(({ argChoices = [] }) => argChoices);
  const help = at.createHelp();
  const names = help.visibleCommands(at).map((command) => command.name());
  const options = help.visibleOptions(at).flatMap(({ long }) => (long ? [long] : []));
  return [...values, ...names, ...options];
}
