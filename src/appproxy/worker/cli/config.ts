/** `app-proxy-worker config`: a configuration file to start from. */
import text from '../../../../config/app-proxy-worker.toml' with { type: 'text' };
import { sampleCommand } from '../../../common/sample-config.ts';

export const generateSample = sampleCommand({
  component: 'app-proxy-worker',
  text,
  production: {
    'api_bind_addr = "127.0.0.1:10201"': 'api_bind_addr = "0.0.0.0:10201"',
    'bind_host = "127.0.0.1"': 'bind_host = "0.0.0.0"',
  },
});
