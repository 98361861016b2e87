/** `storage config`: a configuration file to start from. */

import text from '../../../config/storage-proxy.toml' with { type: 'text' };
import { sampleCommand } from '../../common/sample-config.ts';

export const generateSample = sampleCommand({
  component: 'storage',
  text,
  production: {
    'service-addr = "127.0.0.1:6021"': 'service-addr = "0.0.0.0:6021"',
    'service-addr = "127.0.0.1:6022"': 'service-addr = "0.0.0.0:6022"',
  },
});
