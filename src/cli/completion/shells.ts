/**
 * Completion in the shells: a small function in each shell's own language that asks this program
 * for candidates. The variable `_BACKEND_AI_COMPLETE` says what is asked: `<shell>_source` for the
 * function, `<shell>_complete` for candidates.
 */
import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { CommandRecord } from '../../common/command.ts';
import { candidates } from './candidates.ts';

export const COMPLETE_VARIABLE = '_BACKEND_AI_COMPLETE';
export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

const SOURCES: Record<Shell, string> = {
  bash: `_backend_ai_completion() {
  local line
  COMPREPLY=()
  while IFS= read -r line; do
    COMPREPLY+=("$line")
  done < <(${COMPLETE_VARIABLE}=bash_complete "$1" "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -o bashdefault -F _backend_ai_completion backend.ai
`,
  zsh: `#compdef backend.ai
_backend_ai_completion() {
  local -a found
  found=("\${(@f)$(${COMPLETE_VARIABLE}=zsh_complete "\${words[1]}" "\${(@)words[2,$CURRENT]}" 2>/dev/null)}")
  if [[ -n "\${found[1]}" ]]; then
    _describe -V command found
  else
    _files
  fi
}
compdef _backend_ai_completion backend.ai
`,
  fish: `function _backend_ai_completion
  set -l words (commandline -opc) (commandline -ct)
  set -l found (env ${COMPLETE_VARIABLE}=fish_complete $words[1] $words[2..-1] 2>/dev/null)
  if test (count $found) -gt 0
    printf '%s\\n' $found
  else
    __fish_complete_path (commandline -ct)
  end
end
complete -c backend.ai -f -a '(_backend_ai_completion)'
`,
};

/** The text that answers a request made through the variable; null when it is none. */
export async function completionAnswer(
  request: string,
  commands: CommandRecord,
  words: readonly string[],
): Promise<string | null> {
  const [, name, kind] = /^(bash|zsh|fish)_(source|complete)$/.exec(request) ?? [];
  const shell = SHELLS.find((candidate) => candidate === name);
  if (shell === undefined) return null;
  if (kind === 'source') return SOURCES[shell];
  const found = await candidates(commands, words);
  const lines = found.map(({ text, description }) => {
    if (shell === 'zsh') return `${text.replaceAll(':', '\\:')}:${description}`;
    return shell === 'fish' ? `${text}\t${description}` : text;
  });
  return lines.map((line) => `${line}\n`).join('');
}

/** The line of a shell's start-up file that turns completion on. */
export function evalLine(shell: Shell): string {
  const request = `${COMPLETE_VARIABLE}=${shell}_source backend.ai`;
  return shell === 'fish' ? `env ${request} | source` : `eval "$(${request})"`;
}

function startUpFile(shell: Shell, home: string): string {
  if (shell === 'fish') return join(home, '.config/fish/completions/backend.ai.fish');
  return join(home, shell === 'zsh' ? '.zshrc' : '.bashrc');
}

/**
 * Adds the line to the shell's start-up file.
 * @returns the file, and whether it was changed.
 */
export function install(shell: Shell, home: string): { file: string; changed: boolean } {
  const file = startUpFile(shell, home);
  const line = evalLine(shell);
  const existing = existsSync(file) ? readFileSync(file, 'utf8') : '';
  if (existing.split('\n').includes(line)) return { file, changed: false };
  mkdirSync(dirname(file), { recursive: true });
  const separator = existing === '' || existing.endsWith('\n') ? '' : '\n';
  appendFileSync(file, `${separator}${line}\n`);
  return { file, changed: true };
}
