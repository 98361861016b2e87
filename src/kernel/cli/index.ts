/** `backend.ai kernel-runner`: started by the agent inside a session. */
import { defineCommand } from 'citty';

export const kernelRunnerCommand = defineCommand({
  meta: {
    name: 'kernel-runner',
    description: 'Run code inside a session (started by the agent)',
    hidden: true,
  },
  async run() {
    const { runKernelRunner } = await import('../main.ts');
    process.exit(await runKernelRunner(process.env));
  },
});
