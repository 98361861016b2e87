/** `app-proxy-coordinator config`: a configuration file to start from. */
import text from '../../../../config/app-proxy-coordinator.toml' with { type: 'text' };
import { sampleCommand } from '../../../common/sample-config.ts';

export const generateSample = sampleCommand({
  component: 'app-proxy-coordinator',
  text,
  production: { 'bind_addr = "127.0.0.1:10200"': 'bind_addr = "0.0.0.0:10200"' },
});
