/**
 * The plain page's behaviour: signs in, lists what the account has, and opens apps of sessions. Runs
 * in the browser.
 */
const $ = (id) => document.getElementById(id);
const PROXY_TIMEOUT_MS = 30_000;
// Kept for browsers that drop the cookie, which is sent over HTTPS only unless configured.
const remembered = () => sessionStorage.getItem('session');

async function call(path, body) {
  const headers = { 'Content-Type': 'application/json' };
  const id = remembered();
  if (id) headers['X-BackendAI-SessionID'] = id;
  const response = await fetch(path, { method: 'POST', headers, body: JSON.stringify(body) });
  const session = response.headers.get('X-BackendAI-SessionID');
  if (session) sessionStorage.setItem('session', session);
  const text = await response.text();
  const isJson = /json/.test(response.headers.get('Content-Type') || '');
  return { status: response.status, data: isJson && text ? JSON.parse(text) : null };
}

function signInAgain() {
  sessionStorage.removeItem('session');
  show(null);
  throw new Error('Your sign-in is over. Sign in again.');
}

async function query(source) {
  const { status, data } = await call('/func/admin/gql', { query: source, variables: {} });
  if (status === 401) signInAgain();
  const problem = data?.errors?.[0]?.message || (status >= 400 && (data?.msg || data?.title));
  if (problem || !data) throw new Error(problem || `The server answered ${status}.`);
  return data.data;
}

function fill(table, rows) {
  const body = $(table).tBodies[0];
  body.replaceChildren(
    ...(rows.length > 0 ? rows : [['None.']]).map((cells) => {
      const row = document.createElement('tr');
      for (const cell of cells) row.insertCell().append(cell ?? '');
      return row;
    }),
  );
}

const time = (text) => (text ? new Date(text).toLocaleString() : '');
const slots = (text) =>
  Object.entries(JSON.parse(text || '{}'))
    .map(([name, amount]) => `${name} ${amount}`)
    .join(', ');

async function refresh(role) {
  const own = account;
  const sessions = await query(
    '{ compute_session_list(limit: 100, offset: 0) { items { name image type status group_name created_at session_id access_key service_ports } } }',
  );
  // They have left meanwhile: whoever is here now must not see it.
  if (account !== own) return;
  fill(
    'sessions',
    sessions.compute_session_list.items.map((s) => [
      ...[s.name, s.image, s.type, s.status, s.group_name],
      ...[time(s.created_at), appButtons(s)],
    ]),
  );
  $('agents-section').hidden = role !== 'superadmin';
  if (role !== 'superadmin') return;
  const agents = await query(
    '{ agent_list(limit: 100, offset: 0) { items { id status scaling_group available_slots occupied_slots } } }',
  );
  if (account !== own) return;
  fill(
    'agents',
    agents.agent_list.items.map((a) => [
      ...[a.id, a.status, a.scaling_group],
      ...[slots(a.available_slots), slots(a.occupied_slots)],
    ]),
  );
}

const tell = (text) => {
  $('message').textContent = text;
};
const guarded = (work) => async (event) => {
  event?.preventDefault();
  tell('');
  try {
    await work();
  } catch (error) {
    tell(error instanceof TypeError ? 'The server cannot be reached.' : error.message);
  }
};

const LISTENING = ['RUNNING', 'RUNNING_DEGRADED'];
const TITLES = { ttyd: 'Terminal' };
/** Those that a browser cannot show; people are told where their own programs connect. */
const TCP_APPS = ['sshd', 'vscode-desktop'];

/** One button for each app of a session, the terminal first. */
function appButtons(session) {
  const buttons = document.createElement('div');
  buttons.className = 'apps';
  if (!LISTENING.includes(session.status)) return buttons;
  const apps = JSON.parse(session.service_ports || '[]').filter((app) => !app.is_inference);
  apps.sort((a, b) => (b.name === 'ttyd') - (a.name === 'ttyd'));
  for (const app of apps) {
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = TITLES[app.name] ?? app.name;
    button.addEventListener(
      'click',
      guarded(async () => {
        button.disabled = true;
        await openApp(session, app).finally(() => {
          button.disabled = false;
        });
      }),
    );
    buttons.append(button);
  }
  return buttons;
}

const protocolOf = ({ name, protocol }) =>
  TCP_APPS.includes(name) ? 'tcp' : name === 'xrdp' ? 'rdp' : name === 'vnc' ? 'vnc' : protocol;

/** Asks the app proxy, which may be at another address than this page. */
async function askProxy(url) {
  const signal = AbortSignal.timeout(PROXY_TIMEOUT_MS);
  const response = await fetch(url, { headers: { Accept: 'application/json' }, signal }).catch(
    () => {
      throw new Error(`The app proxy at ${url.origin} cannot be reached from this browser.`);
    },
  );
  const data = await response.json().catch(() => ({}));
  if (response.ok && !data.error_code) return data;
  const reason = data.msg || data.title || data.message || `It answered ${response.status}.`;
  throw new Error(`The app proxy refused. ${reason}`);
}

/** Starts an app of a session; the address at which the app proxy lets this browser in. */
async function startApp(session, app) {
  const owner = new URLSearchParams(
    session.access_key === account.access_key ? {} : { owner_access_key: session.access_key },
  );
  const { status, data } = await call(
    `/func/session/${session.session_id}/start-service?${owner}`,
    {
      app: app.name,
      login_session_token: account.session_id,
    },
  );
  if (status === 401) signInAgain();
  if (status !== 200) throw new Error(data?.msg || data?.title || `The server answered ${status}.`);
  const path = `v2/proxy/${data.token}/${session.session_id}/add`;
  const add = new URL(path, `${data.wsproxy_addr.replace(/\/+$/, '')}/`);
  add.search = new URLSearchParams({ app: app.name, protocol: protocolOf(app) });
  return new URL((await askProxy(add)).url);
}

/** Opens an app in a new tab, or tells where to connect to it. */
async function openApp(session, app) {
  if (protocolOf(app) === 'tcp') {
    const { redirect_url: setup } = await askProxy(await startApp(session, app));
    const { redirectURI } = await askProxy(new URL(`${setup}&do-not-redirect=true`));
    const gateway = new URL(redirectURI).searchParams.get('gateway');
    return tell(`${app.name} of ${session.name} takes connections at ${gateway}`);
  }
  // Opened at once: browsers let a click open a tab, but not what comes long after it.
  const tab = window.open('', '_blank');
  if (!tab) throw new Error('The browser opened no tab. Allow this page to open some.');
  try {
    tab.document.title = `${app.name} of ${session.name}`;
    tab.document.body.textContent = `${app.name} is being started…`;
    const url = await startApp(session, app);
    // What runs in the session has no business with this page.
    tab.opener = null;
    tab.location.replace(url);
  } catch (error) {
    tab.close();
    throw error;
  }
}

let account = null;
let role = null;
function show(signedIn) {
  account = signedIn;
  role = account?.role ?? null;
  $('sign-in').hidden = account !== null;
  if ($('openid')) $('openid').hidden = account !== null;
  $('account').hidden = account === null;
  if (account === null)
    for (const table of ['sessions', 'agents']) $(table).tBodies[0].replaceChildren();
  $('who').hidden = account === null;
  $('name').textContent = account ? `${account.access_key} (${account.role})` : '';
}

async function start() {
  const { data } = await call('/server/login-check', {});
  show(data?.authenticated ? data.data : null);
  if (data?.authenticated) return refresh(role);
  if (token) await signIn();
}

/** What single sign-on gave; it stands for name and password. */
let token = new URLSearchParams(location.search).get('sToken');
if (token) history.replaceState(null, '', location.pathname);

/** Only what the way of signing in needs is asked for. */
function askFor(fields) {
  for (const id of ['username', 'password']) {
    $(id).required = !token;
    $(id).parentElement.hidden = Boolean(token);
  }
  for (const id of fields) $(id).hidden = false;
}

async function signIn() {
  const body = token
    ? { sToken: token }
    : { username: $('username').value.trim(), password: $('password').value };
  if (!$('otp-field').hidden && $('otp').value) body.otp = $('otp').value;
  if (!$('force-field').hidden) body.force = $('force').checked;
  const { data } = await call(token ? '/server/token-login' : '/server/login', body);
  if (data?.authenticated) {
    token = null;
    askFor([]);
    $('password').value = '';
    return start();
  }
  const problem = data?.data ?? data ?? {};
  const kind = (problem.type ?? '').split('/').at(-1);
  if (kind === 'require-totp-registration') {
    return enrol(problem.two_factor_registration_token);
  }
  if (kind === 'require-totp-authentication') askFor(['otp-field']);
  else if (kind === 'active-login-session-exists') askFor(['force-field']);
  else token = null;
  throw new Error(problem.details || problem.title || 'You could not be signed in.');
}

let registration = null;

/** Shows the key of a second factor that signing in demands. */
async function enrol(registrationToken) {
  registration = registrationToken;
  const { status, data } = await call('/func/totp/anon', { registration_token: registration });
  if (status !== 200)
    throw new Error(data?.msg || data?.title || 'Enrolling failed. Sign in again.');
  $('enrol-key').textContent = data.totp_key;
  $('enrol-link').href = data.totp_uri;
  $('sign-in').hidden = true;
  $('enrol').hidden = false;
}

async function proveEnrolment() {
  const { status, data } = await call('/func/totp/anon/verify', {
    registration_token: registration,
    otp: $('enrol-code').value,
  });
  if (status !== 200) throw new Error(data?.msg || data?.title || 'The code was not accepted.');
  $('enrol').hidden = true;
  $('enrol-key').textContent = '';
  $('sign-in').hidden = false;
  askFor(['otp-field']);
  tell('Done. Sign in with the next code that the app shows.');
}

async function signOut() {
  await call('/server/logout', {});
  sessionStorage.removeItem('session');
  show(null);
}

$('sign-in').addEventListener('submit', guarded(signIn));
$('enrol').addEventListener('submit', guarded(proveEnrolment));
if ($('redirect-to')) $('redirect-to').value = location.href.replace(/[?#].*$/, '');
$('sign-out').addEventListener('click', guarded(signOut));
$('refresh').addEventListener(
  'click',
  guarded(() => refresh(role)),
);
void guarded(start)();
