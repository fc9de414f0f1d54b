import { html, render } from "htm/preact"
import { followLinks } from "./address.js"
import { App } from "./app.js"
import { call } from "./net.js"

const root = /** @type {HTMLElement} */ (document.querySelector("#root"))

/** A page that was opened by a link of another site comes without the cookie, and shows the form: the session decides. */
const session = await call("GET", "/console/session").then(
  ({ body }) => body,
  () => undefined,
)

if (session?.signed_in === true || root.childElementCount === 0) {
  root.replaceChildren()
  followLinks()
  render(html`<${App} session=${session ?? { signed_in: true, features: [] }} />`, root)
} else {
  const plain = document.querySelector("#plain-http")
  const isNear = /^(?:localhost|127\.0\.0\.1|\[::1\])$/u.test(location.hostname)
  if (plain instanceof HTMLElement) plain.hidden = location.protocol !== "http:" || isNear
}
