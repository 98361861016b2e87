/** `task-logs`: what a batch session printed, from its owner's folder `.logs`, also after its end. */
import { argument, defineCommand } from '../../common/command.ts';
import { connect } from '../connect.ts';

export default defineCommand({
  help: `Show the log of a batch session.

    Batch sessions write it into your folder '.logs' when you have one as they start.`,
  positionals: { task: argument('TASK_ID', 'Id or name of the session, or the id of its kernel.') },
  options: {},
  async run({ args, io, globals }) {
    const client = await connect({ io, globals });
    for await (const chunk of client.session.taskLog(args.task)) io.stdout.write(chunk);
    return 0;
  },
});
