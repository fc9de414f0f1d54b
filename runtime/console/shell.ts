import { mostName } from "../http/session.ts"
import type { Assets } from "./assets.ts"

/** The headers of every answer of the console that is not an asset. */
export const shellHeaders = (importMapHash: string) => ({
  "content-security-policy": [
    "default-src 'none'",
    `script-src 'self' 'sha256-${importMapHash}'`,
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join("; "),
  "x-frame-options": "DENY",
  "x-content-type-options": "nosniff",
  "referrer-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "camera=(), microphone=(), geolocation=()",
  "cache-control": "no-store",
})

const html = (text: string) => text.replaceAll(/[&<>"']/gu, (character) => `&#${character.codePointAt(0)};`)

/** The page before its script has run: empty, or with `content`. */
export const shellOf = ({ base, importMap, modules }: Assets, content = "") => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Galleria</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="${base}/icon.svg">
<link rel="stylesheet" href="${base}/style.css">
<script src="${base}/theme.js"></script>
<script type="importmap">${importMap}</script>
${modules.map((name) => `<link rel="modulepreload" href="${base}/${name}">`).join("\n")}
<script type="module" src="${base}/main.js"></script>
</head>
<body>
<div id="root">${content}</div>
<noscript><p class="noscript">The console needs JavaScript. Everything that it shows is also under /admin; see /docs.</p></noscript>
</body>
</html>
`

/** The login form; it works without a script. `next` is where the browser goes afterwards. */
export const loginForm = ({ next, fault }: { readonly next: string; readonly fault?: string | undefined }) => `
<main class="login">
<h1>Galleria console</h1>
<form method="post" action="/console/login">
${fault === undefined ? "" : `<p role="alert" class="fault">${html(fault)}</p>`}
<label>Token <input name="token" type="password" required autocomplete="current-password" autofocus></label>
<label>Your name, for the list of actions <input name="name" maxlength="${mostName}" autocomplete="name"></label>
<input type="hidden" name="next" value="${html(next)}">
<button class="main">Sign in</button>
<p class="muted">The token is this deployment's ADMIN_TOKEN. It is sent once and not kept.</p>
<p class="fault" id="plain-http" hidden>▲ This connection is not encrypted.</p>
</form>
</main>`

/** A page for a browser that may not use the console. */
export const noteOf = (title: string, text: string) => `
<main class="login">
<h1>${html(title)}</h1>
<p>${html(text)}</p>
</main>`
