/** `mgr config`: a configuration file to start from. */

import text from '../../../config/manager.toml' with { type: 'text' };
import { sampleCommand } from '../../common/sample-config.ts';

export const generateSample = sampleCommand({
  component: 'manager',
  text,
  production: {
    '127.0.0.1:8101': '127.0.0.1:5432',
    '127.0.0.1:8121': '127.0.0.1:2379',
    '127.0.0.1:8111': '127.0.0.1:6379',
    '0.0.0.0:8091': '0.0.0.0:8080',
  },
});
