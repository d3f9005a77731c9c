# cmake -D OUT=assets.cpp -D FILES="name=path;name=path" -P embed.cmake: files as constants of the program (assets.h).
set(text "#include \"transport/http/assets.h\"\n\nnamespace syzygy::http::assets {\n")
foreach(pair IN LISTS FILES)
  string(REGEX MATCH "^([A-Za-z]+)=(.*)$" matched "${pair}")
  set(name ${CMAKE_MATCH_1})
  file(READ "${CMAKE_MATCH_2}" bytes HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," bytes "${bytes}")
  string(APPEND text "static constexpr char ${name}_bytes[] = {${bytes}};\n"
                     "const std::string_view ${name}(${name}_bytes, sizeof ${name}_bytes);\n")
endforeach()
string(APPEND text "}  // namespace syzygy::http::assets\n")
file(WRITE "${OUT}" "${text}")
