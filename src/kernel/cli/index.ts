/** `backend.ai kernel-runner`: started by the agent inside a session. */
import { defineCommand } from '../../common/command.ts';

export default defineCommand({
  async run({ io }) {
    const { runKernelRunner } = await import('../main.ts');
    return await runKernelRunner(io.env);
  },
});
