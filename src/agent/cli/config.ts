/** `ag config`: a configuration file to start from. */

import text from '../../../config/agent.toml' with { type: 'text' };
import { sampleCommand } from '../../common/sample-config.ts';

export const generateSample = sampleCommand({
  component: 'agent',
  text,
  production: { '127.0.0.1:8121': '127.0.0.1:2379' },
});
