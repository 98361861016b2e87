/** Commands that name one thing and do one thing to it: delete, purge, activate, … */
import { type Command, defineCommand, flag, type PositionalSpec } from '../../common/command.ts';
import { connectAdmin } from '../connect.ts';
import { runMutation } from '../output/mutation.ts';
import type { Variables } from '../output/query.ts';
import { confirmed } from './shared.ts';

export interface SubjectCommand {
  readonly help?: string;
  readonly subject: PositionalSpec<string>;
  /** The GraphQL argument that names the subject, also in what is printed; and its type. */
  readonly key: string;
  readonly type?: 'String!' | 'UUID!';
  /** Name of the mutation. */
  readonly root: string;
  readonly variables?: Variables;
  /** What is changed and how, for messages. */
  readonly itemName: string;
  readonly actionName: string;
  /** Ask before, since it cannot be undone. */
  readonly asksFirst?: boolean;
}

export function subjectCommand(definition: SubjectCommand): Command {
  const { help, subject, key, type = 'String!', root, itemName, actionName } = definition;
  const options = definition.asksFirst ? { yes: flag(['-y', '--yes'], 'Do not ask.') } : undefined;
  return defineCommand({
    help,
    positionals: { subject },
    options,
    async run({ options: given, args, io, globals }) {
      if (given?.yes === false && !(await confirmed({ io }, false))) return 1;
      const client = await connectAdmin({ io, globals });
      return runMutation({ io, globals }, client, {
        root,
        variables: { [key]: [type, args.subject], ...definition.variables },
        itemName,
        actionName,
        extra: { [key]: args.subject },
      });
    },
  });
}
