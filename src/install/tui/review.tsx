/** The second screen: what will be done, and what of it can be changed. Nothing is done yet. */
import { Box, Text, useInput, useWindowSize } from 'ink';
import { useState } from 'react';
import { errorMessage, UserError } from '../../common/errors.ts';
import type { Environment } from '../modes/servers.ts';
import { planFor } from '../plan.ts';
import type { InstallRequest } from '../request.ts';
import type { Plan } from '../step.ts';
import { type Field, fieldsOf, shownValue } from './fields.ts';
import { wrapped } from './pages.tsx';

interface ReviewProps {
  readonly request: InstallRequest;
  readonly environment: Environment;
  readonly onChange: (request: InstallRequest) => void;
  readonly onBack: () => void;
  readonly onGo: () => void;
}

/** The plan, or why there is none: its folder may hold no installation. */
function planOrProblem(request: InstallRequest, environment: Environment): Plan | string {
  try {
    return planFor(request, environment);
  } catch (error) {
    const hint = error instanceof UserError ? (error.hint ?? '') : '';
    return `${errorMessage(error)}\n${hint}`.trimEnd();
  }
}

const shownDraft = ({ isSecret }: Field, draft: string): string =>
  `${isSecret === true ? '•'.repeat(draft.length) : draft}█`;

export function Review({ request, environment, onChange, onBack, onGo }: ReviewProps) {
  const fields = fieldsOf(request);
  const needed = fields.findIndex(({ value }) => value === '');
  // The row after the fields is the button.
  const [at, setAt] = useState(fields.length);
  const [draft, setDraft] = useState<string | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const plan = planOrProblem(request, environment);
  const field = fields[at];

  const accept = (edited: Field, text: string) => {
    const changed = edited.accept(text);
    if (typeof changed === 'string') setProblem(changed);
    else {
      setProblem(null);
      setDraft(null);
      onChange(changed);
    }
  };

  useInput((input, key) => {
    if (draft !== null && field) {
      if (key.return) accept(field, draft);
      else if (key.escape) setDraft(null);
      else if (key.backspace || key.delete) setDraft(draft.slice(0, -1));
      else if (!key.ctrl && !key.meta) setDraft(draft + input);
      return;
    }
    const rows = fields.length + 1;
    if (key.escape) onBack();
    else if (key.upArrow) setAt((at + rows - 1) % rows);
    else if (key.downArrow || key.tab) setAt((at + 1) % rows);
    else if (key.return && field === undefined && needed >= 0) {
      setAt(needed);
      setProblem(`${fields[needed]?.label} is needed.`);
    } else if (key.return && field === undefined && typeof plan !== 'string') onGo();
    else if (key.return && field?.choices) {
      const next = (field.choices.indexOf(field.value) + 1) % field.choices.length;
      accept(field, field.choices[next] ?? field.value);
    } else if (key.return && field) setDraft(field.isSecret === true ? '' : field.value);
  });

  return (
    <Box flexDirection="column">
      {typeof plan === 'string' ? (
        <Text color="red">{plan}</Text>
      ) : (
        <Summary plan={plan} otherRows={fields.length + OTHER_ROWS} />
      )}
      <Box flexDirection="column" marginTop={1}>
        {fields.map((row, index) => (
          <Text key={row.label} color={index === at ? 'cyan' : undefined} wrap="truncate-end">
            {index === at ? '❯ ' : '  '}
            {row.label.padEnd(18)}
            {index === at && draft !== null ? shownDraft(row, draft) : shownValue(row)}
          </Text>
        ))}
        <Text
          color={field === undefined ? 'cyan' : undefined}
          bold
          dimColor={typeof plan === 'string'}
        >
          {field === undefined ? '❯ ' : '  '}
          {typeof plan === 'string' ? 'Go (not yet)' : 'Go'}
        </Text>
      </Box>
      {problem !== null && <Text color="red">{problem}</Text>}
      <Box marginTop={1}>
        <Text dimColor>
          {draft === null
            ? '↑ ↓ choose · enter change or go · esc back · ^C quit'
            : 'enter accept · esc leave as it was'}
        </Text>
      </Box>
    </Box>
  );
}

/** Header, title, gaps, button, a problem, keys, and one that stays free so that nothing scrolls. */
const OTHER_ROWS = 10;

function Summary({ plan, otherRows }: { readonly plan: Plan; readonly otherRows: number }) {
  const { rows, columns } = useWindowSize();
  // Where there is room for one of both only, it is what will become of the machine.
  const room = Math.max(1, rows - otherRows);
  const summary = wrapped(plan.summary, columns);
  const shownSummary = summary.length > room ? [...summary.slice(0, room - 1), '…'] : summary;
  const stepRows = room - shownSummary.length;
  const shown = plan.steps.length <= stepRows ? plan.steps.length : Math.max(0, stepRows - 1);
  const more = plan.steps.length - shown;
  return (
    <Box flexDirection="column">
      <Text bold>{plan.title}</Text>
      {shownSummary.map((line, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: lines have no names, and never move
        <Text key={index} wrap="truncate-end">
          {line === '' ? ' ' : line}
        </Text>
      ))}
      {stepRows > 0 && (
        <Box flexDirection="column" marginTop={1}>
          {plan.steps.slice(0, shown).map(({ id, title }, index) => (
            <Text key={id} dimColor wrap="truncate-middle">
              {String(index + 1).padStart(2)}. {title}
            </Text>
          ))}
          {more > 0 && (
            <Text dimColor>{shown === 0 ? `    ${more} steps` : `    and ${more} more`}</Text>
          )}
        </Box>
      )}
    </Box>
  );
}
