/** The plain page that is served without a WebUI: one document, with its script and style inside. */
import script from './script.client.js' with { type: 'text' };
import style from './style.css.txt' with { type: 'text' };

const openIdForm = `<form id="openid" method="post" action="/func/openid/login" hidden>
<input type="hidden" name="redirect_to" id="redirect-to">
<button type="submit">Sign in with single sign-on</button>
</form>`;

/**
 * @param nonce allows script and style under the page's content security policy.
 * @param hasOpenId offers to sign in through an OpenID Connect provider.
 */
export const plainPage = (nonce: string, hasOpenId: boolean): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Backend.AI</title>
<link rel="icon" href="data:,">
<style nonce="${nonce}">${style}</style>
</head>
<body>
<header><h1>Backend.AI</h1><p id="who" hidden><span id="name"></span>
<button id="sign-out" type="button">Sign out</button></p></header>
<main>
<form id="sign-in" hidden>
<h2>Sign in</h2>
<label>E-mail <input id="username" type="email" autocomplete="username" required></label>
<label>Password <input id="password" type="password" autocomplete="current-password" required></label>
<label id="otp-field" hidden>One-time password
<input id="otp" inputmode="numeric" autocomplete="one-time-code" maxlength="6"></label>
<label id="force-field" hidden><input id="force" type="checkbox"> End my oldest sign-in elsewhere</label>
<button type="submit">Sign in</button>
</form>
${hasOpenId ? openIdForm : ''}
<form id="enrol" hidden>
<h2>Second factor</h2>
<p>This cluster wants a second factor. Add this account to your authenticator app:
<a id="enrol-link">open the app</a>, or enter the key <code id="enrol-key"></code>.</p>
<label>Code that the app shows
<input id="enrol-code" inputmode="numeric" autocomplete="one-time-code" maxlength="6" required></label>
<button type="submit">Go on</button>
</form>
<p id="message" role="alert"></p>
<div id="account" hidden>
<section><h2>Sessions</h2><table id="sessions"><thead><tr><th>Name</th><th>Image</th><th>Type</th>
<th>Status</th><th>Project</th><th>Created</th><th>Apps</th></tr></thead><tbody></tbody></table></section>
<section id="agents-section" hidden><h2>Agents</h2><table id="agents"><thead><tr><th>Name</th>
<th>Status</th><th>Resource group</th><th>Available</th><th>Occupied</th></tr></thead>
<tbody></tbody></table></section>
<button id="refresh" type="button">Refresh</button>
</div>
</main>
<script type="module" nonce="${nonce}">${script}</script>
</body>
</html>
`;
