/** `web config`: a configuration file to start from. */

import text from '../../../config/webserver.conf' with { type: 'text' };
import { sampleCommand } from '../../common/sample-config.ts';

export const generateSample = sampleCommand({
  component: 'webserver',
  text,
  production: { 'http://127.0.0.1:8091': 'http://127.0.0.1:8080' },
});
