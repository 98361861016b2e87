/** Usage lines and help pages, laid out from the declarations of commands and groups. */
import type {
  Command,
  CommandRecord,
  OptionSpecs,
  PositionalSpec,
  PositionalSpecs,
} from '../../common/command.ts';

const INDENT = '  ';
const LABEL_COLUMN_LIMIT = 34;

/** Breaks text at spaces; words longer than `width` stay whole. */
export function wrapText(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/)) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  lines.push(line);
  return lines;
}

function definitionList(rows: readonly (readonly [string, string])[], width: number): string[] {
  const longest = Math.max(0, ...rows.map(([label]) => label.length));
  const column = Math.min(longest, LABEL_COLUMN_LIMIT) + INDENT.length * 2;
  const lines: string[] = [];
  for (const [label, text] of rows) {
    const wrapped = wrapText(text, Math.max(20, width - column));
    const first = `${INDENT}${label}`;
    const fits = first.length + INDENT.length <= column;
    if (!fits) lines.push(first);
    wrapped.forEach((piece, index) => {
      const lead = fits && index === 0 ? first.padEnd(column) : ' '.repeat(column);
      lines.push(`${lead}${piece}`.trimEnd());
    });
  }
  return lines;
}

function optionRows(specs: OptionSpecs): [string, string][] {
  const rows: [string, string][] = [];
  for (const spec of Object.values(specs)) {
    if (spec.hidden) continue;
    const names = spec.flags.join(', ');
    rows.push([spec.metavar === null ? names : `${names} ${spec.metavar}`, spec.description]);
  }
  rows.push(['-h, --help', 'Show this message and exit.']);
  return rows;
}

function positionalUsage(spec: PositionalSpec<unknown>): string {
  const name = spec.required ? spec.metavar : `[${spec.metavar}]`;
  return spec.variadic ? `${name}...` : name;
}

function paragraphs(text: string, width: number): string[] {
  return text
    .split(/\n\s*\n/)
    .flatMap((paragraph) => [
      '',
      ...wrapText(paragraph.trim(), width - INDENT.length).map((line) => `${INDENT}${line}`),
    ]);
}

export function commandUsage(commandPath: string, command: Command): string {
  const names = Object.values(command.positionals).map(positionalUsage);
  return ['Usage:', commandPath, '[OPTIONS]', ...names].join(' ');
}

export function groupUsage(commandPath: string): string {
  return `Usage: ${commandPath} [OPTIONS] COMMAND [ARGS]...`;
}

function argumentRows(specs: PositionalSpecs): [string, string][] {
  return Object.values(specs)
    .filter((spec) => spec.description !== '')
    .map((spec) => [spec.metavar, spec.description]);
}

/** @param width characters per line. */
export function commandHelp(
  commandPath: string,
  description: string,
  command: Command,
  width: number,
): string {
  const lines = [commandUsage(commandPath, command)];
  lines.push(...paragraphs(command.help ?? description, width));
  const positionals = argumentRows(command.positionals);
  if (positionals.length > 0) lines.push('', 'Arguments:', ...definitionList(positionals, width));
  lines.push('', 'Options:', ...definitionList(optionRows(command.options), width));
  return `${lines.join('\n')}\n`;
}

/** @param width characters per line. */
export function groupHelp(
  commandPath: string,
  description: string,
  options: OptionSpecs,
  commands: CommandRecord,
  width: number,
): string {
  const rows: [string, string][] = [];
  for (const [name, entry] of Object.entries(commands)) {
    if (entry.hidden) continue;
    const aliases = entry.aliases?.length ? ` (${entry.aliases.join(',')})` : '';
    rows.push([`${name}${aliases}`, entry.description]);
  }
  rows.sort(([a], [b]) => (a < b ? -1 : 1));
  const lines = [groupUsage(commandPath), ...paragraphs(description, width)];
  lines.push('', 'Options:', ...definitionList(optionRows(options), width));
  lines.push('', 'Commands:', ...definitionList(rows, width));
  return `${lines.join('\n')}\n`;
}
