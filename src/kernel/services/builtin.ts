/** Definitions of well-known services, for images that offer one without saying how it starts. */
import * as v from 'valibot';
import { type Definitions, type ServiceDefinition, serviceDefinition } from './definition.ts';

/** Understood by the classic notebook and by all that is built on the Jupyter server. */
const jupyterConfig = ['ServerApp', 'NotebookApp'].flatMap((app) => [
  `c.${app}.ip = "{host}"`,
  `c.${app}.port = {ports[0]}`,
  `c.${app}.port_retries = 0`,
  `c.${app}.token = ""`,
  `c.${app}.password = ""`,
  `c.${app}.allow_root = True`,
  `c.${app}.allow_remote_access = True`,
  `c.${app}.open_browser = False`,
  `c.${app}.terminado_settings = {{"shell_command": ["{shell}"]}}`,
  `c.${app}.tornado_settings = {{"ws_ping_interval": 10000, "headers": {{"Content-Security-Policy": "frame-ancestors *"}}}}`,
]);

const jupyter = (module: string): ServiceDefinition =>
  v.parse(serviceDefinition, {
    prestart: [
      {
        action: 'write_tempfile',
        args: { body: [...jupyterConfig, 'c.FileContentsManager.delete_to_trash = False'] },
        ref: 'jupyter_cfg',
      },
    ],
    command: ['{runtime_path}', '-m', module, '--no-browser', '--config', '{jupyter_cfg}'],
  });

export const builtinServices: Definitions = new Map([
  ['jupyter', jupyter('notebook')],
  ['jupyterlab', jupyter('jupyterlab')],
  [
    'vscode',
    v.parse(serviceDefinition, {
      command: ['code-server', '--bind-addr', '{host}:{ports[0]}', '--disable-telemetry'],
      allowed_arguments: ['--auth'],
      allowed_envs: ['PASSWORD'],
      default_arguments: { '--auth': 'none' },
    }),
  ],
  [
    'tensorboard',
    v.parse(serviceDefinition, {
      prestart: [{ action: 'mkdir', args: { path: 'logs' } }],
      command: [
        ...['{runtime_path}', '-m', 'tensorboard.main', '--host', '{host}', '--port'],
        '{ports[0]}',
      ],
      allowed_arguments: ['--logdir'],
      default_arguments: { '--logdir': '/home/work/logs' },
    }),
  ],
]);
