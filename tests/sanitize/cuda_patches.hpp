// The part of cuda_driver.cpp that runs the patches family.
#pragma once

// The number of failures, each of which has been printed.
int run_cuda_patches();
