// What every report has in it: the contents of style.css and script.js.
#pragma once

namespace shardgrad {

extern const char* const kPageStyle;
extern const char* const kPageScript;

}  // namespace shardgrad
