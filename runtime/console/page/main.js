// Shows that the login form is sent in plain text, where it is.
const plain = document.querySelector("#plain-http")
if (plain instanceof HTMLElement && location.protocol === "http:") {
  plain.hidden = /^(?:localhost|127\.0\.0\.1|\[::1\])$/u.test(location.hostname)
}
