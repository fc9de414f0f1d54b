// Every npm script runs this check first. It is plain CommonJS without new syntax, because older releases of Node cannot load
// TypeScript.
var needed = 24
if (parseInt(process.versions.node, 10) < needed) {
  process.stderr.write(
    "Galleria needs Node " + needed + " or newer; this is " + process.version + " (" + process.execPath + ").\n",
  )
  process.exit(1)
}
