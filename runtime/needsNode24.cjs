// Every npm script begins with this check. Older releases of Node cannot load TypeScript, so it is plain CommonJS without new syntax.
var needed = 24
if (parseInt(process.versions.node, 10) < needed) {
  process.stderr.write(
    "Galleria needs Node " + needed + " or newer; this is " + process.version + " (" + process.execPath + ").\n",
  )
  process.exit(1)
}
