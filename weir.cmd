@echo off
rem Builds the tool when a source is newer than the last good build, then runs it. Arguments and exit code pass through.
setlocal
set "root=%~dp0"
set "tool=%root%artifacts\weir\Weir.Cli.dll"
set "stamp=%root%artifacts\weir.stamp"
where dotnet >nul 2>nul || (
    echo weir: the .NET 10 SDK is needed, and no 'dotnet' is on the PATH; see https://dotnet.microsoft.com/download 1>&2
    exit /b 1
)
if not exist "%root%artifacts" mkdir "%root%artifacts"
powershell -NoProfile -Command "if (-not (Test-Path $env:stamp) -or -not (Test-Path $env:tool)) { exit 1 }; $t = (Get-Item $env:stamp).LastWriteTimeUtc; Set-Location $env:root; if (@(Get-ChildItem src -Recurse) + @(Get-Item Directory.*.props, global.json) | Where-Object { $_.LastWriteTimeUtc -gt $t } | Select-Object -First 1) { exit 1 }"
if not errorlevel 1 goto run
echo weir: building (once, and again after a change of the sources) ... 1>&2
echo.> "%stamp%.next"
pushd "%root%"
rem Ahead of time where the compiler for that can be had.
dotnet publish src\Weir.Cli --configuration Release --verbosity quiet --output artifacts\weir --use-current-runtime --self-contained false -p:PublishReadyToRun=true > artifacts\weir.log 2>&1
if errorlevel 1 dotnet publish src\Weir.Cli --configuration Release --verbosity quiet --output artifacts\weir > artifacts\weir.log 2>&1
set "built=%errorlevel%"
popd
if not "%built%"=="0" (
    type "%root%artifacts\weir.log" 1>&2
    exit /b 1
)
move /y "%stamp%.next" "%stamp%" >nul
:run
dotnet "%tool%" %*
exit /b %errorlevel%
