/** Fields of the app proxy: whether there is one, and how it is reached from outside. */
import { isAddressBlock } from '../../common/address-blocks.ts';
import { appProxyTitle } from '../parts/app-proxy.ts';
import { type AppProxyWish, type InstallRequest, PLAIN_APP_PROXY } from '../request.ts';
import { type Group, type ValueField, yesNo } from './field.ts';

const PORTS = 'a port each';
const NAMES = 'a name each';
const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i;
const DOMAIN = /^[a-z0-9-]+(\.[a-z0-9-]+)*$/i;

function nameFields(
  wish: AppProxyWish,
  changed: (part: Partial<AppProxyWish>) => InstallRequest,
): ValueField[] {
  const domain = (label: string, name: 'appBaseDomain' | 'storageBaseDomain'): ValueField => ({
    ...{ label, value: wish[name] },
    accept: (text) =>
      DOMAIN.test(text) ? changed({ [name]: text }) : 'Give a domain such as example.com.',
  });
  return [
    {
      ...{
        label: 'Prefix',
        value: wish.fqdnPrefix ?? '',
        whenEmpty: wish.frontendMode === 'port' ? 'none' : undefined,
      },
      about: 'It is reached as PREFIX.apphub.DOMAIN, apps below PREFIX.app.DOMAIN.',
      accept(text) {
        if (text === '') return changed({ fqdnPrefix: null });
        return LABEL.test(text)
          ? changed({ fqdnPrefix: text })
          : 'It is a part of a host name: letters, digits and -.';
      },
    },
    ...(wish.fqdnPrefix === null
      ? []
      : [
          domain('Domain of apps', 'appBaseDomain'),
          domain('Domain of folders', 'storageBaseDomain'),
        ]),
  ];
}

export function appProxyGroup(request: InstallRequest): Group {
  const wish = request.appProxy;
  const changed = (part: Partial<AppProxyWish>): InstallRequest => ({
    ...request,
    appProxy: { ...(wish ?? PLAIN_APP_PROXY), ...part },
  });
  const installed = yesNo(
    'App proxy',
    wish !== null,
    'A way to the apps of sessions from outside, past the manager.',
    (is) => ({ ...request, appProxy: is ? PLAIN_APP_PROXY : null }),
  );
  const label = 'App proxy';
  const about = 'How the apps of sessions are opened from outside.';
  if (wish === null) return { label, about, value: 'none', fields: [installed] };
  const publicPort: ValueField = {
    ...{ label: 'Public port', value: String(wish.advertisedPort) },
    about: 'At which browsers reach what stands before it.',
    accept(text) {
      const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
      return port > 0 && port < 65_536
        ? changed({ advertisedPort: port })
        : 'A port is a number from 1 to 65535.';
    },
  };
  return {
    label,
    about,
    value: `apps ${appProxyTitle(request, wish)}`,
    fields: [
      installed,
      {
        ...{ label: 'Apps have', value: wish.frontendMode === 'port' ? PORTS : NAMES },
        choices: [PORTS, NAMES],
        about: 'Names are for HTTP, and need a domain with a wildcard.',
        accept: (text) => changed({ frontendMode: text === NAMES ? 'wildcard' : 'port' }),
      },
      ...nameFields(wish, changed),
      yesNo('TLS before it', wish.tlsAdvertised, 'Something of yours speaks TLS for it.', (is) =>
        changed({ tlsAdvertised: is }),
      ),
      ...(wish.tlsAdvertised || wish.frontendMode === 'wildcard' ? [publicPort] : []),
      {
        ...{ label: 'Figures for', value: wish.metricAccess ?? '', whenEmpty: 'this machine' },
        about: 'Addresses or blocks, with commas, that may read /metrics.',
        accept(text) {
          if (text.trim() === '') return changed({ metricAccess: null });
          const blocks = text.split(',').map((block) => block.trim());
          const wrong = blocks.find((block) => !isAddressBlock(block));
          return wrong === undefined
            ? changed({ metricAccess: blocks.join(',') })
            : `'${wrong}' is not an address or block such as 10.0.0.0/8.`;
        },
      },
    ],
  };
}
